/// Meanings of errnos that are the same for every operation. Errnos whose meaning depends on the operation are not
/// here: EINVAL, EBUSY, ENOENT, ENODEV, EOPNOTSUPP, EPERM, EACCES, ENOSPC.
extension Refusal {
    static let common = [
        "EFAULT": "an address in the request is not this program's memory, or may not be written",
        "EINTR": "a signal came while it waited; ask again",
        "EAGAIN": "nothing is there yet, or a lock is held; ask again",
        "EMFILE": "this process has no descriptor left (ulimit -n)",
        "ENFILE": "the machine has no file left (sysctl fs.file-max)",
        "ENOMEM": "the kernel has no memory for it, or a limit of this process's or its container's is reached",
        "EBADF": "the descriptor is closed, or not open for that",
        "EIO": "the device or what it hangs on has failed; the kernel log may say why",
        "ENOTTY": "what the descriptor is of does not know the request: another kind of file, or an older kernel",
        "EOVERFLOW": "start and length together wrap around the end of the addresses",
        "EROFS": "the file system is mounted read-only",
        "ETIMEDOUT": "the device did not answer in time; the kernel log may say why",
    ]
}
