--- What the reproducers about a NIC's steering table share.
local expect, steering, reproducing, scope = require "expect", require "steering", require "reproducing", require "scope"

local table_entries = {}

--- Options of a reproducer about the table.
function table_entries.table_options(more)
  local options = reproducing.nic_options(more)
  options.revision = {
    type = "enum", values = { "auto", "v7" }, default = "auto",
    about = "v7 where the kernel has that: its structure is later ones' too, and it keeps entries longer",
  }
  return options
end

--- How many tags fit the table at once; entry 0 is never used. Skips the case where the NIC has none.
function table_entries.count(f)
  if steering.tag(f.opt.nic, 0xffff) then
    f.t:skip(f.opt.nic .. " has no steering table: it sends the tags themselves (sim:mlx5-table has one)")
  end
  local count = 0
  while steering.tag(f.opt.nic, count + 1) do
    count = count + 1
  end
  if count == 0 then
    local _, reason = steering.tag(f.opt.nic, 1)
    f.t:skip(f.opt.nic .. ": " .. reason)
  end
  return count
end

--- Calls `body(keep)`, and closes what `keep` was given, last made first.
function table_entries.with(body)
  local kept <close> = scope.open()
  body(function(object)
    return kept:keep(object)
  end)
end

--- A dma-buf with this tag.
function table_entries.tagged(f, tag)
  local buf = f:export()
  local ok, err = pcall(buf.set_tph, buf, f:hint(tag))
  if not ok then
    buf:close()
    error(err, 0)
  end
  return buf
end

--- What a region sends whose tag needs an entry that the last region before it has left: `right`, but for the revisions
--- that do not give entries back with the region.
function table_entries.given_back(f, t, found, right, what)
  local _, _, layout = f:feature()
  if layout == "v2" or f.opt.revision == "v7" then
    reproducing.bug(t, found, "none", right, what)
  else
    expect.equal(found, right, what)
  end
end

return table_entries
