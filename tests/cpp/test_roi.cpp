// Sizes that regions are resized to, against those of the release (tests/golden/roi_sizes.json).
#include <fstream>

#include "check.hpp"
#include "roi.hpp"

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "expected: FILE of make_data.py\n");
        return 2;
    }
    std::ifstream file(argv[1]);
    int height, width, longer, rows = 0;
    mfp::Size expected;
    while (file >> height >> width >> longer >> expected.height >> expected.width) {
        ++rows;
        for (const int top : {0, 7}) {
            const mfp::Size found = mfp::network_size({longer, 0}, {top, top + height - 1, 3, 3 + width - 1});
            if (found.height == expected.height && found.width == expected.width) continue;
            std::ostringstream what;
            what << height << " x " << width << " at " << longer << ": expected " << expected.height << " x "
                 << expected.width << ", got " << found.height << " x " << found.width;
            failed(__FILE__, __LINE__, what.str());
        }
    }
    CHECK_EQUAL(rows, 44);
    return report();
}
