-- a first line that loaders skip, with a line break that they do not expect
print(load("#!/bin/sh\r\27Lua"), load("#\0\n\27Lua"))
