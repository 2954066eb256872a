/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The requests of /dev/edu-importer. An open file has at most one attachment; closing it undoes
 * everything. Numbers in comments are what the macros come to, for programs that are not C.
 *
 * ENODEV: the device was unbound; EBADFD: nothing is attached, or attached already.
 *
 * The simulated kernel answers the same (Sources/SimKernel/DMABuf/EduImporter.swift);
 * Tests/Conformance/modules holds the two against each other.
 */
#ifndef PEERLAB_EDU_IMPORTER_H
#define PEERLAB_EDU_IMPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define EDU_PEER2PEER	1	/* the importer can handle peer memory */
#define EDU_INVALIDATE	2	/* the importer has an invalidate callback */

struct edu_attach {
	__s32 fd;		/* 0 */
	__u32 flags;		/* 4: EDU_* */
};

/* EBADF, EINVAL: no dma-buf; EINVAL: unknown flags; else the exporter's answer. */
#define EDU_ATTACH	_IOW(0xed, 0, struct edu_attach)	/* 0x4008ed00 */

#define EDU_ENTRIES	32

struct edu_map {
	__u32 count;		/* 0: out, of entries; may be more than fit */
	__u32 reserved;		/* 4: out, 0 */
	struct {
		__u64 address;	/* 8 + 16 n: as the device sees it */
		__u64 length;	/* 16 + 16 n */
	} entry[EDU_ENTRIES];
};

/* EBUSY: it is mapped; else the exporter's answer. */
#define EDU_MAP		_IOR(0xed, 1, struct edu_map)		/* 0x8208ed01 */

struct edu_copy {
	__u64 from;		/* 0: offset in the dma-buf */
	__u64 to;		/* 8 */
	__u64 length;		/* 16: bytes */
};

/*
 * The device reads and writes. ENXIO: not mapped, or no longer; then a part may have been copied.
 * ERANGE: beyond the dma-buf. ETIMEDOUT: the device does not finish.
 */
#define EDU_COPY	_IOW(0xed, 2, struct edu_copy)		/* 0x4018ed02 */

/* Harmless if not mapped: the exporter may have been faster. */
#define EDU_UNMAP	_IO(0xed, 3)				/* 0xed03 */

/* Unmaps if needed. */
#define EDU_DETACH	_IO(0xed, 4)				/* 0xed04 */

struct edu_state {
	__u32 invalidations;	/* 0: how often the exporter asked, since EDU_ATTACH */
	__u32 mapped;		/* 4: 1 while mapped */
};

#define EDU_STATE	_IOR(0xed, 5, struct edu_state)		/* 0x8008ed05 */

struct edu_hint {
	__u32 extended;		/* 0: in, 1 asks for the 16-bit namespace */
	__u16 st;		/* 4: out */
	__u8 ph;		/* 6: out */
	__u8 reserved;		/* 7: out, 0 */
};

/* Asks vfio_tph. ENOENT: it is not loaded; else its answer. */
#define EDU_HINT	_IOWR(0xed, 6, struct edu_hint)		/* 0xc008ed06 */

#endif
