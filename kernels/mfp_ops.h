// The arithmetic of a click, one pixel or one click at a time. Compiles for the GPU (nvcc, NVRTC) and for the host
// (any C++17 compiler), so that Python's kernels, the C++ engine and the tests without a GPU run the same lines.
// Section numbers are those of docs/method.md; reference.py is the same in float64 and readable.
#pragma once

#if defined(__CUDACC__)
#define MFP_HD __host__ __device__ inline
#else
#include <cfloat>
#include <cmath>
#include <cstring>
#define MFP_HD inline
// Every operation is rounded to the precision of its type, and one after the other.
#if defined(__FAST_MATH__) || defined(_M_FP_FAST)
#error "mfp-engine gives other masks under -ffast-math, -Ofast or /fp:fast: compile it without"
#endif
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "mfp-engine needs float and double in their own precision: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif
#endif

// Where a comparison decides about a pixel, a product and a sum must be rounded one after the other, as in the release.
// Compilers for GPUs join them into one instruction unless they are told so.
#if defined(__CUDA_ARCH__)
MFP_HD float mfp_mul(float a, float b) { return __fmul_rn(a, b); }
MFP_HD float mfp_add(float a, float b) { return __fadd_rn(a, b); }
MFP_HD double mfp_mul(double a, double b) { return __dmul_rn(a, b); }
MFP_HD double mfp_add(double a, double b) { return __dadd_rn(a, b); }
MFP_HD unsigned mfp_bits(float value) { return __float_as_uint(value); }
MFP_HD float mfp_float(unsigned bits) { return __uint_as_float(bits); }
MFP_HD unsigned long long mfp_bits(double value) { return (unsigned long long)__double_as_longlong(value); }
MFP_HD double mfp_double(unsigned long long bits) { return __longlong_as_double((long long)bits); }
#else  // compile with -ffp-contract=off where the processor has fused multiply-add
MFP_HD float mfp_mul(float a, float b) { return a * b; }
MFP_HD float mfp_add(float a, float b) { return a + b; }
MFP_HD double mfp_mul(double a, double b) { return a * b; }
MFP_HD double mfp_add(double a, double b) { return a + b; }
template <class To, class From>
MFP_HD To mfp_same_bits(From from) {
    To to;
    static_assert(sizeof(to) == sizeof(from), "bits of another size");
    memcpy(&to, &from, sizeof(to));
    return to;
}
MFP_HD unsigned mfp_bits(float value) { return mfp_same_bits<unsigned>(value); }
MFP_HD float mfp_float(unsigned bits) { return mfp_same_bits<float>(bits); }
MFP_HD unsigned long long mfp_bits(double value) { return mfp_same_bits<unsigned long long>(value); }
MFP_HD double mfp_double(unsigned long long bits) { return mfp_same_bits<double>(bits); }
#endif

#define MFP_MIN_RADIUS 10.0f  // pixels; also the distance below which opposite clicks cut pieces out of the window

MFP_HD int mfp_clamp(int value, int low, int high) { return value < low ? low : value > high ? high : value; }

// --- Positions (sections 1 and 4) ------------------------------------------------------------------------------------

// A click's coordinate along one axis, from image pixels into a crop that starts at `start`, is `extent` pixels long and
// is resized to `size`; not rounded. In float64 and in the release's order of operations.
MFP_HD double mfp_into_crop(double coordinate, int start, int extent, int size) {
    return size * (coordinate - start) / extent;
}

// The same coordinate on the mirrored crop.
MFP_HD double mfp_mirrored(double column, int width) { return width - column - 1; }

// Distances (section 4): the three rules of reference.py, to the bit.
MFP_HD double mfp_squared_distance(float a_y, float a_x, float b_y, float b_x) {
    const double dy = a_y - b_y, dx = a_x - b_x;  // differences rounded to float32, so that their squares are exact
    return dy * dy + dx * dx;                     // rounded once, fused or not
}
MFP_HD float mfp_root(double squared) { return (float)sqrt(squared); }
MFP_HD bool mfp_is_within(double squared, double radius) { return squared <= radius * radius; }

// First pixel that can lie within `radius` of `centre`, and the one after the last; never outside 0 … length.
MFP_HD int mfp_span_start(float centre, double radius, int length) {
    double start = floor((double)centre - radius);
    return start < 0 ? 0 : start > length ? length : (int)start;
}
MFP_HD int mfp_span_stop(float centre, double radius, int length) {
    double stop = ceil((double)centre + radius) + 1;
    return stop < 0 ? 0 : stop > length ? length : (int)stop;
}

// --- Disks (section 3) -----------------------------------------------------------------------------------------------

// Whether a click of map coordinates (y, x) is there at all: padding has two negative coordinates.
MFP_HD bool mfp_is_click(float y, float x) { return !(y < 0 && x < 0); }

MFP_HD bool mfp_in_disk(int row, int column, float y, float x, float radius) {
    const float dy = (float)row - y, dx = (float)column - x;
    return mfp_add(mfp_mul(dy, dy), mfp_mul(dx, dx)) <= mfp_mul(radius, radius);
}

// --- Bilinear sampling with aligned corners (section 1) --------------------------------------------------------------

struct MfpTap {
    int below, above;  // the two neighbours
    float weight;      // of the one above, in [0, 1)
};

// Where position `i` of `target` falls on an axis of `length`. In float32 and rounded after the product, as PyTorch
// does: at 2,000 pixels that is 1e-4 of a pixel from the exact place.
MFP_HD MfpTap mfp_tap(int i, int length, int target) {
    float scale = target > 1 ? (float)(length - 1) / (float)(target - 1) : 0.0f;
    float position = mfp_mul((float)i, scale);
    int below = mfp_clamp((int)position, 0, length - 1);
    return {below, below + 1 < length ? below + 1 : below, position - (float)below};
}

MFP_HD float mfp_between(float a, float b, float weight) { return a + (b - a) * weight; }

MFP_HD float mfp_bilinear(float top_left, float top_right, float bottom_left, float bottom_right, MfpTap y, MfpTap x) {
    return mfp_between(mfp_between(top_left, top_right, x.weight), mfp_between(bottom_left, bottom_right, x.weight),
                       y.weight);
}

// --- Logits (section 1) ----------------------------------------------------------------------------------------------

// Saturates to exactly 0 and 1, which modulation takes notice of.
MFP_HD float mfp_sigmoid(float logit) { return 1.0f / (1.0f + expf(-logit)); }

MFP_HD bool mfp_is_finite(float value) { return (mfp_bits(value) & 0x7f800000u) != 0x7f800000u; }

// --- Modulation (section 4) ------------------------------------------------------------------------------------------

// Gamma that moves probability p at the clicked pixel to its target, 0.99 or 0.01; 1 where it is there already.
MFP_HD double mfp_gamma(float p, bool positive) {
    if (positive) return p < 0.99 ? 1.0 / (log(0.99) / log((double)p) + 1e-8) : 1.0;
    return p > 0.01 ? log(0.01) / log((double)p) : 1.0;
}

// Whether the clicked pixel's own probability makes the window a plain cone.
MFP_HD bool mfp_is_cone(float p, bool positive) { return p == (positive ? 0.0f : 1.0f); }

MFP_HD float mfp_cone(double distance, double farthest, bool positive) {
    return (float)(positive ? 1.0 - distance / farthest : distance / farthest);
}

// Exponent of an early click: gamma for pixels like the clicked one, 1 from the median on. `difference` and `median` are
// square roots of the spec's d and t; only their ratio counts, so that the rescaling of d to a maximum of 1000 cancels.
// At a median of 0, where the release divides by zero, the limit of the formula.
MFP_HD float mfp_early_exponent(float difference, float median, float gamma) {
    if (difference >= median) return median == 0.0f && difference == 0.0f ? gamma : 1.0f;
    float ratio = difference / median;
    float nearness = 1.0f - ratio * ratio;
    return 1.0f + (gamma - 1.0f) * (nearness * nearness * nearness);
}

// Exponent of a later click: gamma at the click, 1 at the rim.
MFP_HD float mfp_late_exponent(double distance, double radius, double gamma) {
    double share = distance / radius;
    return (float)(gamma * (1.0 - share) + share);
}

MFP_HD float mfp_moved(float probability, float exponent, bool positive) {
    return powf(probability, positive ? 1.0f / exponent : exponent);
}
