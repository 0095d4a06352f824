// Random calls, right ones and wrong ones, on images of odd sizes: nothing but the promised exceptions, a map that
// stays in [0, 1], and the click list determines every bit. Arguments: number of calls, seed, network file and runtime
// (else the tests' own network).
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

#include "check.hpp"
#include "fake.hpp"

namespace {

std::mt19937 generator;

int whole(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }

// One image with its session, and the bookkeeping that the session has to agree with.
struct Subject {
    mfp::Image image;
    std::vector<std::uint8_t> pixels, initial;
    mfp::SessionOptions options;
    std::unique_ptr<mfp::Session> session;
    std::vector<mfp::Click> done, undone;
};

Subject new_subject(const std::shared_ptr<const mfp::Network>& network) {
    Subject subject;
    mfp::Image& image = subject.image;
    image.height = whole(0, 3) ? whole(1, 90) : whole(200, 300);
    image.width = whole(0, 3) ? whole(1, 90) : whole(200, 300);
    image.channels = whole(0, 5) ? 3 : whole(0, 1) ? 4 : 1;
    subject.pixels = noise_image(image.height, image.width, image.channels, static_cast<unsigned>(whole(0, 1 << 30)));
    image.pixels = subject.pixels.data();
    mfp::SessionOptions& options = subject.options;
    if (whole(0, 1)) {
        options.longer_side = whole(8, 48);
    } else {
        options.size = mfp::Size{whole(8, 48), whole(8, 48)};
    }
    options.flip = whole(0, 1);
    options.n_early = whole(0, 9);
    options.r_max = whole(1, 400) / 8.0;
    options.distance = whole(0, 3) ? mfp::Distance::probability : mfp::Distance::rgb;
    if (!whole(0, 3)) {
        subject.initial.resize(static_cast<std::size_t>(image.height) * image.width);
        for (auto& value : subject.initial) value = whole(0, 9) == 0;
        options.initial_mask = subject.initial.data();
    }
    subject.session = std::make_unique<mfp::Session>(network, image, options);
    return subject;
}

void wrong_call(Subject& subject, const std::shared_ptr<const mfp::Network>& network) {
    mfp::Session& session = *subject.session;
    const double bad[] = {-1, -1e-9, 1e9, std::nan(""), INFINITY, -INFINITY, static_cast<double>(subject.image.width)};
    mfp::SessionOptions options;
    switch (whole(0, 5)) {
        case 0:
            CHECK_THROWS(session.click(bad[whole(0, 6)], 0), mfp::ClickError, "expected");
            break;
        case 1:
            CHECK_THROWS(session.click(0, whole(subject.image.height, 9999)), mfp::ClickError, "outside");
            break;
        case 2:
            options.longer_side = whole(0, 1) ? whole(-9, 0) : whole(8193, 1 << 30);
            CHECK_THROWS(mfp::Session(network, subject.image, options), mfp::OptionError, "expected a size");
            break;
        case 3:
            CHECK_THROWS(mfp::Session(network, {subject.pixels.data(), whole(-5, 0), 5, 3, 0}), mfp::ImageError,
                         "empty");
            break;
        case 4: {  // sizes and strides at the ends of what their types hold
            constexpr int int_ends[] = {std::numeric_limits<int>::max(), std::numeric_limits<int>::max() - 1, 1 << 30};
            constexpr auto most = std::numeric_limits<std::ptrdiff_t>::max();
            const std::ptrdiff_t strides[] = {most, -most, -most - 1, most / 2 + 1, -most / 2 - 1};
            mfp::Image wrong = subject.image;
            if (whole(0, 1)) {
                wrong.row_stride = strides[whole(0, 4)];
                wrong.height = std::max(wrong.height, 2);
            } else {
                wrong.height = int_ends[whole(0, 2)];
                wrong.width = whole(0, 1) ? int_ends[whole(0, 2)] : whole(2, 9);
            }
            CHECK_THROWS(mfp::Session(network, wrong, subject.options), mfp::ImageError, "expected");
            break;
        }
        default:
            options.threshold = whole(0, 1) ? whole(1, 9) : -whole(0, 9);
            CHECK_THROWS(mfp::Session(network, subject.image, options), mfp::OptionError, "threshold");
    }
}

void check_replay(const Subject& subject, const std::shared_ptr<const mfp::Network>& network) {
    mfp::Session replay(network, subject.image, subject.options);
    for (const mfp::Click& click : subject.done) replay.click(click.x, click.y, click.positive);
    const mfp::Map a = replay.probability(), b = subject.session->probability();
    CHECK(std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(float)) == 0);
    for (const float value : b.values) CHECK(value >= 0 && value <= 1);
}

void call(Subject& subject, const std::shared_ptr<const mfp::Network>& network) {
    mfp::Session& session = *subject.session;
    const int kind = whole(0, 99);
    if (kind < 50) {
        // often on the rim, sometimes between pixels
        const int height = subject.image.height, width = subject.image.width;
        const double x = whole(0, 4) ? whole(0, 8 * width - 1) / 8.0 : (whole(0, 1) ? 0 : width - 1);
        const double y = whole(0, 4) ? whole(0, 8 * height - 1) / 8.0 : (whole(0, 1) ? 0 : height - 1);
        const bool positive = whole(0, 1);
        const mfp::Mask mask = session.click(x, y, positive);
        CHECK_EQUAL(mask.pixels.size(), subject.pixels.size() / subject.image.channels);
        subject.done.push_back({x, y, positive, 0});
        subject.undone.clear();
    } else if (kind < 65) {
        if (subject.done.empty()) {
            CHECK_THROWS(session.undo(), mfp::NothingToUndoError, "nothing to undo");
        } else {
            session.undo();
            subject.undone.push_back(subject.done.back());
            subject.done.pop_back();
        }
    } else if (kind < 80) {
        if (subject.undone.empty()) {
            CHECK_THROWS(session.redo(), mfp::NothingToUndoError, "nothing to redo");
        } else {
            session.redo();
            subject.done.push_back(subject.undone.back());
            subject.undone.pop_back();
        }
    } else if (kind < 83) {
        session.reset();
        subject.done.clear();
        subject.undone.clear();
    } else if (kind < 95) {
        wrong_call(subject, network);
    } else {
        if (whole(0, 3) == 0) check_replay(subject, network);
        subject = new_subject(network);
    }
    CHECK(subject.session->can_undo() == !subject.done.empty() &&
          subject.session->can_redo() == !subject.undone.empty());
}

}  // namespace

int main(int count, char** arguments) {
    const int calls = count > 1 ? std::atoi(arguments[1]) : 10000;
    generator.seed(count > 2 ? static_cast<unsigned>(std::atoi(arguments[2])) : 7u);
    mfp::NetworkOptions options;
    if (count > 4) options.runtime = arguments[4];
    options.threads = 1;  // of passes so small that a second one is waited for longer than it saves
    const auto network = count > 4 ? mfp::Network::load(arguments[3], options) : fake_network();
    Subject subject = new_subject(network);
    for (int i = 0; i < calls && failures() < 10; ++i) call(subject, network);
    return report();
}
