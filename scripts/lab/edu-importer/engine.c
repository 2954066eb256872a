// SPDX-License-Identifier: GPL-2.0
/* The registers of QEMU's edu device (docs/specs/edu of QEMU). */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/ktime.h>

#include "engine.h"

#define REG_ID		0x00
#define REG_SOURCE	0x80
#define REG_DESTINATION	0x88
#define REG_COUNT	0x90
#define REG_COMMAND	0x98
#define COMMAND_START	1
#define COMMAND_TO_MEMORY 2
/* Where the device sees its own buffer. */
#define BUFFER		0x40000
#define TIMEOUT_SECONDS	10

int edu_engine_start(struct edu *edu)
{
	struct pci_dev *pdev = edu->pdev;
	int ret = pcim_enable_device(pdev);

	if (ret)
		return ret;
	edu->registers = pcim_iomap_region(pdev, 0, "edu_importer");
	if (IS_ERR(edu->registers))
		return PTR_ERR(edu->registers);
	if ((readl(edu->registers + REG_ID) & 0xffff) != 0x00ed)
		return -ENODEV;
	/*
	 * What the device really reaches is QEMU's property dma_mask, which nothing here can ask
	 * for.
	 */
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	pci_set_master(pdev);
	return 0;
}

static int transfer(struct edu *edu, u64 source, u64 destination, size_t length, u32 direction)
{
	ktime_t end = ktime_add_ms(ktime_get(), TIMEOUT_SECONDS * MSEC_PER_SEC);

	writeq(source, edu->registers + REG_SOURCE);
	writeq(destination, edu->registers + REG_DESTINATION);
	writeq(length, edu->registers + REG_COUNT);
	writeq(COMMAND_START | direction, edu->registers + REG_COMMAND);
	while (readl(edu->registers + REG_COMMAND) & COMMAND_START) {
		if (ktime_after(ktime_get(), end))
			return -ETIMEDOUT;
		usleep_range(2000, 5000);
	}
	return 0;
}

int edu_engine_copy(struct edu *edu, dma_addr_t from, dma_addr_t to, size_t length)
{
	int ret = transfer(edu, from, BUFFER, length, 0);

	return ret ? ret : transfer(edu, BUFFER, to, length, COMMAND_TO_MEMORY);
}
