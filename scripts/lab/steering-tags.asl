// Steering tags of a machine's processors: _DSM function 15 of the host bridge (PCI Firmware Specification 3.3, 4.6.15), as the
// kernel asks it (drivers/pci/tph.c). The processor whose identifier is N has the tags 0x20 + N (8 bits) and 0x1200 + N (16)
// for volatile memory, 0x40 + N and 0x2400 + N for persistent memory.
// Sources/LabBench/Host/SteeringTable.swift has what iasl(1) makes of this.
DefinitionBlock ("", "SSDT", 2, "PEERLB", "LABTAGS", 1)
{
    External (\_SB.PCI0, DeviceObj)

    Method (\_SB.PCI0._DSM, 4, Serialized)
    {
        If ((Arg0 == ToUUID ("e5c937d0-3553-4d7a-9117-ea4d19c3434d")))
        {
            // Which functions there are: 0 and 15.
            If ((Arg2 == 0)) { Return (Buffer () { 0x01, 0x80 }) }
            If ((Arg2 == 15))
            {
                // Which tags are there (both), 8 bits, 16 bits, for each kind of memory.
                Local1 = Buffer () { 0x03, 0, 0, 0x12, 0x03, 0, 0, 0x24 }
                // Arg3 is what is asked for (0: locality of caches), the processor's identifier, and properties.
                Local0 = DerefOf (Arg3 [1])
                Local1 [1] = (0x20 + Local0)
                Local1 [2] = Local0
                Local1 [5] = (0x40 + Local0)
                Local1 [6] = Local0
                Return (Local1)
            }
        }
        Return (Buffer () { 0x00 })
    }
}
