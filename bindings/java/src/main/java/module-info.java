/** Mixture-of-experts feed-forward layers and LoRA experts on server CPUs. */
module io.moxie {
  exports io.moxie;
}
