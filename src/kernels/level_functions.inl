// What the namespace of every instruction set offers: the functions of `Kernels`. Included inside that namespace.

void matmul_f32(const Matmul& m);
void matmul_bf16(const Matmul& m);
void lora_shrink(const LoraShrink& s);
void lora_expand(const LoraExpand& e);
void lora_norms(const LoraNorms& n);
void router(const float* x, int64_t ldx, int64_t rows, const float* gate, int64_t gate_stride, int64_t experts,
            int64_t k, float* logits, int64_t ld);
void activate(mox_activation activation, const float* gate, const float* up, float weight, int64_t count, float* h,
              bool accumulate);
void add(const float* a, const float* b, int64_t count, float* sum);
void softmax(const float* x, int64_t count, float* probabilities);
void rms_norm(const float* x, const float* weight, double epsilon, int64_t count, float* y);
void attend(const Attend& a, float* scratch);
void attend_segment(const Attend& a, int64_t segment, float* states);
void join_segments(const Attend& a, float* states);
void to_bfloat16(const float* x, int64_t count, bfloat16* y);
void transpose_rows(const RowsToPack& rows, uint32_t* words);
bool compact(const uint32_t* words, int64_t groups, std::byte* block);
void expand_block(const CompactHeader& block, int64_t k_begin, int64_t k_end, uint32_t* words);
