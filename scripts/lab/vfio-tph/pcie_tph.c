// SPDX-License-Identifier: GPL-2.0
/*
 * What v6 of the series adds to the PCI core, as a module of its own: programs take this function
 * in /proc/kallsyms for the mark of v6, so it must be there with vfio_tph's abi=v6 and absent
 * with v2.
 */
#include <linux/module.h>
#include <linux/pci.h>

bool pcie_tph_supported(struct pci_dev *pdev);

/* Whether the function has the TPH requester extended capability. */
bool pcie_tph_supported(struct pci_dev *pdev)
{
	return pci_find_ext_capability(pdev, PCI_EXT_CAP_ID_TPH) != 0;
}
EXPORT_SYMBOL_GPL(pcie_tph_supported);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Stands in for the PCI core's part of DMA_BUF_TPH v6");
