// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the root ports of a machine TPH completers, which QEMU's are not: a driver may enable a
 * device's steering tags only below one (drivers/pci/tph.c). They say so in Device Capabilities 2,
 * so what is read there, through the configuration accesses of the root bus, gains the bits; it has
 * to be loaded before the driver looks.
 */
#include <linux/bitfield.h>
#include <linux/module.h>
#include <linux/pci.h>

static bool extended = true;
module_param(extended, bool, 0444);
MODULE_PARM_DESC(extended, "16-bit steering tags too (default: yes)");

static struct pci_bus *root;
static struct pci_ops *before, ours;

static u32 completer(void)
{
	return FIELD_PREP(PCI_EXP_DEVCAP2_TPH_COMP_MASK, extended ? 3 : 1);
}

static bool is_root_port(struct pci_bus *bus, unsigned int devfn, int *capability)
{
	struct pci_dev *device;

	list_for_each_entry(device, &bus->devices, bus_list) {
		if (device->devfn != devfn)
			continue;
		*capability = device->pcie_cap;
		return device->pcie_cap && pci_pcie_type(device) == PCI_EXP_TYPE_ROOT_PORT;
	}
	return false;
}

static int read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *value)
{
	int capability, result = before->read(bus, devfn, where, size, value);

	if (result || !is_root_port(bus, devfn, &capability))
		return result;
	/* One byte or two of the register have their own of its bits. */
	if ((where & ~3) == capability + PCI_EXP_DEVCAP2)
		*value |= (completer() >> (8 * (where & 3))) & (u32)(BIT_ULL(8 * size) - 1);
	return 0;
}

static int __init completer_init(void)
{
	root = pci_find_bus(0, 0);
	if (!root)
		return -ENODEV;
	ours = *root->ops;
	ours.read = read;
	before = root->ops;
	pci_bus_set_ops(root, &ours);
	return 0;
}

static void __exit completer_exit(void)
{
	pci_bus_set_ops(root, before);
}

module_init(completer_init);
module_exit(completer_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Makes QEMU's root ports TPH completers");
