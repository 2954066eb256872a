// SPDX-License-Identifier: GPL-2.0
/*
 * What v7 and later of the series add to the PCI core, as a module of its own: programs take this
 * function in /proc/kallsyms for a mark of those revisions, so it must be absent with others.
 */
#include <linux/bitfield.h>
#include <linux/module.h>
#include <linux/pci.h>

u8 pcie_tph_completer_type(struct pci_dev *pdev);

/*
 * PCI_EXP_DEVCAP2_TPH_COMP_...: what the function is as a completer. The reserved encoding, and a
 * function without Device Capabilities 2, are none.
 */
u8 pcie_tph_completer_type(struct pci_dev *pdev)
{
	u32 capabilities = 0;
	u8 type;

	pcie_capability_read_dword(pdev, PCI_EXP_DEVCAP2, &capabilities);
	type = FIELD_GET(PCI_EXP_DEVCAP2_TPH_COMP_MASK, capabilities);
	if (type != PCI_EXP_DEVCAP2_TPH_COMP_TPH_ONLY && type != PCI_EXP_DEVCAP2_TPH_COMP_EXT_TPH)
		return PCI_EXP_DEVCAP2_TPH_COMP_NONE;
	return type;
}
EXPORT_SYMBOL_GPL(pcie_tph_completer_type);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Stands in for the PCI core's part of DMA_BUF_TPH from v7 on");
