/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PEERLAB_EDU_ENGINE_H
#define PEERLAB_EDU_ENGINE_H

#include <linux/pci.h>

/*
 * What one copy moves at most: the device's buffer has 4096 bytes, but QEMU 7.2 aborts when its
 * last one is reached.
 */
#define EDU_BUFFER_SIZE 4088

/* The device and its registers. */
struct edu {
	struct pci_dev *pdev;
	void __iomem *registers;
};

/* Enables the device and lets it master the bus. */
int edu_engine_start(struct edu *edu);

/*
 * The device copies at most EDU_BUFFER_SIZE bytes, through its buffer. -ETIMEDOUT where it does
 * not finish.
 */
int edu_engine_copy(struct edu *edu, dma_addr_t from, dma_addr_t to, size_t length);

#endif
