-- require of an absolute name
print(require "/etc/passwd")
print("ESC" .. "APED")
