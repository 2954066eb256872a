-- Linux 7.3.4 as released: no DMA_BUF_TPH.
return require "benches.machine"("stock", { release = "7.3.4" })
