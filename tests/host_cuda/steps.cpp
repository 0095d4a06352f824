// The C++ engine's loops on the host as a library: what a list of clicks on one map does to it, and its disks.
#include "../../engine/cpp/src/steps.cpp"

extern "C" void mfp_modulate_on_host(const MfpLane* lane, const MfpClickBlock* block, const MfpClick* clicks) {
    std::vector<unsigned> scratch;
    mfp::begin(*lane, *block, clicks);
    mfp::disks(*lane, *block);
    mfp::modulate(*lane, *block, scratch);
}
