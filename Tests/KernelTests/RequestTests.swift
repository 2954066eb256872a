import Kernel
import Testing

@Suite struct RequestTests {
    /// VFIO_DEVICE_FEATURE and VFIO_IOMMU_DIRTY_PAGES have one number.
    @Test func aNumberIsReadByItsFile() {
        func name(_ file: FileKind) -> String? { Request.find(0x3b75, on: file)?.name }
        #expect(name(.device) == "VFIO_DEVICE_FEATURE" && name(.other) == "VFIO_DEVICE_FEATURE")
        #expect(name(.container) == "VFIO_IOMMU_DIRTY_PAGES" && name(.iommufd) == "VFIO_IOMMU_DIRTY_PAGES")
        #expect(name(.dmabuf) == nil)
    }
}
