-- percent signs and templates, as package.searchpath would replace them
if pcall(require, "%?") or pcall(require, "?;../canary") then print("ESC" .. "APED") end
