-- os from package.loaded, where sandboxes forget it (lua-l, 2009 and often since)
package.loaded.os.execute("touch started")
print("ESC" .. "APED")
