#include <mfp/build.hpp>
#include <mfp/cuda.hpp>
#include <mfp/mfp.h>

int plain();
int plain() { return MFP_VERSION_MAJOR; }
