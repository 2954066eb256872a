#include "include/CLuaShims.h"
typedef int nothing;
