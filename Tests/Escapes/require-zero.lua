-- require of a name with a zero byte, which ends it for C (PHP's null byte attacks, CVE-2006-7243)
print(require "../canary\0x")
print("ESC" .. "APED")
