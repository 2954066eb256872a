-- No scenario: a module of one.
return { helper = true }
