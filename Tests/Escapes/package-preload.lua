-- package.preload is a second door to loaders
package.preload.x = function() return package.loadlib end
require "x"
print("ESC" .. "APED")
