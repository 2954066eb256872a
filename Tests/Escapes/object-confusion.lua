-- methods of one class called on another's object: type confusion (CVE-2014-5461's family)
local vfio, iommufd = require "vfio", require "iommufd"
local dev, context = vfio.open("0000:01:00.0"), iommufd.open()
for _, f in ipairs { dev.info, dev.read, dev.close } do
  print(pcall(f, context), pcall(f, io), pcall(f, {}), pcall(f, coroutine.create(print)))
end
