-- io.popen starts a process (CVE-2022-0543's payload: io.popen('id'))
print(io.popen("cat ../canary.txt; touch started"):read("a"))
print("ESC" .. "APED")
