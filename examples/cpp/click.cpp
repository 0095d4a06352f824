// Clicks on a photograph, the mask as a picture:
//     click [--runtime NAME] [--threads N] [--no-flip] NETWORK PHOTOGRAPH MASK +240,130 -30,200 …
// NETWORK is an .onnx or .plan file, or lite0, which ships with the library. Clicks are x,y in pixels; + adds to the
// object, - removes from it.
#include <cstdio>

#include "arguments.hpp"
#include "pictures.hpp"

int main(int count, char** arguments) {
    try {
        const Arguments given = parsed(count, arguments);
        const std::vector<std::string>& words = given.words;
        if (words.size() < 4) {
            std::fprintf(stderr, "expected: click %s NETWORK PHOTOGRAPH MASK +X,Y -X,Y …\n", options_usage);
            return 2;
        }
        std::vector<mfp::Click> clicks;
        for (std::size_t i = 3; i < words.size(); ++i) {
            char sign = 0, more = 0;
            mfp::Click click;
            const int read = std::sscanf(words[i].c_str(), "%c%lf,%lf%c", &sign, &click.x, &click.y, &more);
            if (read != 3 || (sign != '+' && sign != '-')) {
                throw std::invalid_argument("expected a click like +240,130 or -30,200, got " + words[i]);
            }
            click.positive = sign == '+';
            clicks.push_back(click);
        }
        check_mask_path(words[2]);
        const auto network = mfp::Network::load(words[0], given.network);
        if (!network->choice().empty()) std::printf("%s\n", network->choice().c_str());
        const Picture photograph = read_picture(words[1]);
        mfp::Session session(network, photograph.view(), given.session);
        mfp::Mask mask;
        for (std::size_t i = 0; i < clicks.size(); ++i) {
            mask = session.click(clicks[i].x, clicks[i].y, clicks[i].positive);
            const mfp::Timing timing = *session.timing();
            std::printf("%s: %zu pixels, %.1f ms, %.1f of them outside the network\n", words[3 + i].c_str(),
                        mask.area(), timing.total(), timing.outside_network());
        }
        write_mask(words[2], mask);
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "click: %s\n", error.what());
        return 2;
    } catch (const std::exception& error) {  // mfp::Error and what pictures.hpp throws
        std::fprintf(stderr, "click: %s\n", error.what());
        return 1;
    }
}
