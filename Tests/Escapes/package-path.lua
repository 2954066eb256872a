-- package.path leads require to any folder
package.path = "../?.lua"
print(require "canary")
print("ESC" .. "APED")
