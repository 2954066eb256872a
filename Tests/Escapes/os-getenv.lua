-- os.getenv reads secrets of the environment (Redis before 2.8 exposed os)
print(os.getenv("PEERLAB_CANARY"))
print("ESC" .. "APED")
