// What holds for any sequence of calls, on a network of the tests' own. Mirrors tests/engine/test_session.py.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "check.hpp"
#include "fake.hpp"

namespace {

constexpr int height = 100, width = 150;
const std::vector<std::uint8_t> pixels = noise_image(height, width, 3, 1);
const mfp::Image image = {pixels.data(), height, width, 3, 0};

mfp::SessionOptions small(int side = 64) {
    mfp::SessionOptions options;
    options.longer_side = side;
    return options;
}

bool same_bits(const mfp::Map& a, const mfp::Map& b) {
    return a.values.size() == b.values.size() &&
           std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(float)) == 0;
}

void undo_and_redo_are_exact_and_run_no_network() {
    // large enough for regions that are not the whole image
    const auto large = noise_image(400, 600, 3, 2);
    std::vector<std::uint8_t> initial(400 * 600);
    for (int row = 30; row < 60; ++row) std::fill_n(initial.begin() + row * 600 + 40, 50, std::uint8_t(1));
    for (const bool with_initial : {false, true}) {
        auto switches = std::make_shared<FakeSwitches>();
        auto options = small();
        options.initial_mask = with_initial ? initial.data() : nullptr;
        mfp::Session session(fake_network(switches), {large.data(), 400, 600, 3, 0}, options);
        std::vector<mfp::Map> maps = {session.probability()};
        const double clicks[][3] = {{50, 40, 1},        {55, 50, 0}, {500, 300, 1},
                                    {300.5, 200.25, 0}, {70, 45, 1}, {10, 390, 1}};
        for (const auto& click : clicks) {
            const mfp::Mask mask = session.click(click[0], click[1], click[2] != 0);
            CHECK(mask.pixels == session.mask().pixels);
            maps.push_back(session.probability());
        }
        const int passes = switches->passes;
        for (int round = 0; round < 2; ++round) {
            for (int k = 5; k >= 0; --k) {
                const mfp::Mask mask = session.undo();
                CHECK(same_bits(session.probability(), maps[k]));
                CHECK(mask.pixels == session.mask().pixels);
            }
            for (int k = 1; k <= 6; ++k) {
                session.redo();
                CHECK(same_bits(session.probability(), maps[k]));
            }
        }
        CHECK_EQUAL(switches->passes.load(), passes);
        CHECK_EQUAL(session.clicks()[0].index, with_initial ? 1 : 0);
        session.reset();
        CHECK(same_bits(session.probability(), maps[0]));
        CHECK(!session.can_undo() && !session.can_redo() && !session.roi());
        for (const auto& click : clicks) session.click(click[0], click[1], click[2] != 0);
        CHECK(same_bits(session.probability(), maps[6]));
    }
}

void passes_of_a_click() {
    auto switches = std::make_shared<FakeSwitches>();
    mfp::Session session(fake_network(switches), image, small());
    CHECK(!session.timing());
    session.click(70, 50);
    CHECK_EQUAL(session.timing()->passes, 2);
    session.click(20, 20, false);
    CHECK_EQUAL(session.timing()->passes, 1);
    CHECK_EQUAL(switches->passes.load(), 3);
}

void the_first_region_follows_the_initial_mask() {
    const auto square = noise_image(512, 512, 3, 3);
    std::vector<std::uint8_t> initial(512 * 512);
    for (int row = 100; row < 200; ++row) std::fill_n(initial.begin() + row * 512 + 300, 120, std::uint8_t(255));
    auto options = small();
    options.initial_mask = initial.data();
    mfp::Session session(fake_network(), {square.data(), 512, 512, 3, 0}, options);
    session.click(350, 150);
    const mfp::Roi roi = *session.roi();
    CHECK(roi.row_min == 50 && roi.row_max == 250 && roi.col_min == 260 && roi.col_max == 460);
    CHECK_EQUAL(session.timing()->passes, 1);  // the map is not empty: nothing to bootstrap
}

void objects_one_after_another() {
    std::vector<std::uint8_t> initial(height * width);
    std::fill_n(initial.begin() + 50 * width, 40, std::uint8_t(1));
    auto options = small();
    options.initial_mask = initial.data();
    mfp::Session session(fake_network(), image, options);
    CHECK_EQUAL(session.finish().area(), std::size_t(40));
    CHECK_EQUAL(session.mask().area(), std::size_t(0));
    CHECK_THROWS(session.finish(), mfp::SessionError, "click on the object first");
    session.click(20, 20);
    CHECK_EQUAL(session.clicks()[0].index, 0);
    const mfp::Map second = session.probability();
    session.finish();
    CHECK(session.clicks().empty() && !session.roi());
    mfp::Session alone(fake_network(), image, small());
    alone.click(20, 20);
    CHECK(same_bits(alone.probability(), second));
}

void a_failing_network_loses_nothing() {
    auto switches = std::make_shared<FakeSwitches>();
    mfp::Session session(fake_network(switches), image, small());
    session.click(70, 50);
    session.click(20, 20);
    session.undo();
    const mfp::Map before = session.probability();
    switches->throws = true;
    CHECK_THROWS(session.click(30, 30), mfp::NetworkError, "told to fail");
    switches->throws = false;
    switches->not_finite = true;
    CHECK_THROWS(session.click(30, 30), mfp::NetworkError, "logits that are not finite");
    CHECK(same_bits(session.probability(), before));
    CHECK_EQUAL(session.clicks().size(), std::size_t(1));
    CHECK(session.can_redo());
    switches->not_finite = false;
    session.redo();
}

void clicks_that_are_refused() {
    mfp::Session session(fake_network(), image, small());
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS(session.click(-1, 5), mfp::ClickError, "expected 0 <= x < 150 and 0 <= y < 100, got x=-1, y=5");
    CHECK_THROWS(session.click(150, 5), mfp::ClickError, "outside");
    CHECK_THROWS(session.click(5, 100), mfp::ClickError, "outside");
    CHECK_THROWS(session.click(nan, 5), mfp::ClickError, "finite");
    CHECK_THROWS(session.click(5, std::numeric_limits<double>::infinity()), mfp::ClickError, "finite");
    CHECK_THROWS(session.undo(), mfp::NothingToUndoError, "nothing to undo");
    CHECK_THROWS(session.redo(), mfp::SessionError, "nothing to redo");
    CHECK(session.clicks().empty());
    CHECK_EQUAL(session.mask().area(), std::size_t(0));
}

void messages_do_not_follow_the_locale() {
    const std::vector<std::uint8_t> wide(3 * 1920);
    mfp::Session session(fake_network(), {wide.data(), 1, 1920, 3, 0}, small());
    const CommaLocale commas;
    CHECK_THROWS(session.click(2000.5, 0), mfp::ClickError, "expected 0 <= x < 1920 and 0 <= y < 1, got x=2000.5, y=0");
    auto options = small(12345);
    CHECK_THROWS(mfp::Session(fake_network(), image, options), mfp::OptionError,
                 "1 to 8192 a side, got a longer side of 12345");
    options = small();
    options.threshold = 1.5;
    CHECK_THROWS(mfp::Session(fake_network(), image, options), mfp::OptionError, "got 1.5");
}

template <class Change>
mfp::SessionOptions with(Change change) {
    auto options = small();
    change(options);
    return options;
}

void options_that_are_refused() {
    using Options = mfp::SessionOptions;
    const auto refused = [](auto change, const char* words) {
        CHECK_THROWS(mfp::Session(fake_network(), image, with(change)), mfp::OptionError, words);
    };
    refused([](Options& o) { o.threshold = 0; }, "threshold between 0 and 1");
    refused([](Options& o) { o.threshold = std::nan(""); }, "threshold");
    refused([](Options& o) { o.n_early = -1; }, "n_early");
    refused([](Options& o) { o.r_max = 0; }, "r_max");
    refused([](Options& o) { o.r_max = INFINITY; }, "r_max");
    refused([](Options& o) { o.longer_side = 0; }, "1 to 8192");
    refused([](Options& o) { o.longer_side = 8193; }, "longer side of 8193");
    refused([](Options& o) { o.size = mfp::Size{64, 64}; }, "got both");
    refused(
        [](Options& o) {
            o.longer_side.reset();
            o.size = mfp::Size{64, 0};
        },
        "64×0");
    refused([](Options& o) { o.distance = static_cast<mfp::Distance>(7); }, "distance");
    CHECK_THROWS(mfp::Session(nullptr, image), mfp::OptionError, "expected a network");
    mfp::NetworkInfo fixed;
    fixed.size = mfp::Size{48, 64};
    CHECK_THROWS(mfp::Session(fake_network(nullptr, fixed), image, small()), mfp::OptionError,
                 "fixed to 48×64, got a longer side of 64");
    mfp::Session(fake_network(nullptr, fixed), image).click(70, 50);
}

void images_that_are_refused() {
    const auto refused = [](mfp::Image wrong, const char* words) {
        CHECK_THROWS(mfp::Session(fake_network(), wrong, small()), mfp::ImageError, words);
    };
    refused({nullptr, 5, 5, 3, 0}, "no pixels");
    refused({pixels.data(), 0, 5, 3, 0}, "empty one of 0×5");
    refused({pixels.data(), 5, -5, 3, 0}, "empty");
    refused({pixels.data(), 5, 5, 2, 0}, "got 2");
    refused({pixels.data(), 5, 5, 3, 14}, "a stride of 14");
    constexpr auto most = std::numeric_limits<std::ptrdiff_t>::max(),
                   least = std::numeric_limits<std::ptrdiff_t>::min();
    for (const std::ptrdiff_t stride : {least, least + 1, most})
        refused({pixels.data(), 5, 5, 3, stride}, "bytes apart");
    refused({pixels.data(), 5, 5, 3, -14}, "a stride of -14");
    refused({pixels.data(), 5, 5, 3, most / 5}, "bytes apart");
    refused({pixels.data(), 5, 5, 3, least / 5}, "bytes apart");
    constexpr int large = std::numeric_limits<int>::max();
    for (const int channels : {1, 3, 4}) {
        refused({pixels.data(), large, large, channels, 0}, "at most 2147483647 pixels, and 1073741824 a side");
        refused({pixels.data(), 1, large, channels, 0}, "got 1×2147483647");
        refused({pixels.data(), large, 2, channels, 0}, "got 2147483647×2");
        refused({pixels.data(), 65536, 65536, channels, 0}, "got 65536×65536");
    }
    refused({pixels.data(), 5, 5, std::numeric_limits<int>::min(), 0}, "channels");
    std::vector<std::uint8_t> mask(height * width, 7);
    CHECK_THROWS(
        mfp::Session(fake_network(), image, with([&](mfp::SessionOptions& o) { o.initial_mask = mask.data(); })),
        mfp::ImageError, "initial mask of 0 and 1");
}

void strides_and_channels() {
    // the same picture as RGB, as RGBA in rows with gaps, and upside down with a negative stride
    mfp::Session plain(fake_network(), image, small());
    plain.click(70, 50);
    std::vector<std::uint8_t> rgba(height * (width * 4 + 12)), reversed(pixels.size());
    for (int row = 0; row < height; ++row) {
        for (int column = 0; column < width; ++column) {
            std::copy_n(&pixels[(row * width + column) * 3], 3, &rgba[row * (width * 4 + 12) + column * 4]);
        }
        std::copy_n(&pixels[row * width * 3], width * 3, &reversed[(height - 1 - row) * width * 3]);
    }
    for (const mfp::Image& other : {mfp::Image{rgba.data(), height, width, 4, width * 4 + 12},
                                    mfp::Image{&reversed[(height - 1) * width * 3], height, width, 3, -width * 3}}) {
        mfp::Session session(fake_network(), other, small());
        session.click(70, 50);
        CHECK(same_bits(session.probability(), plain.probability()));
    }
    const auto grey = noise_image(height, width, 1, 5);
    std::vector<std::uint8_t> repeated;
    for (const auto value : grey) repeated.insert(repeated.end(), 3, value);
    mfp::Session one(fake_network(), {grey.data(), height, width, 1, 0}, small());
    mfp::Session three(fake_network(), {repeated.data(), height, width, 3, 0}, small());
    one.click(70, 50);
    three.click(70, 50);
    CHECK(same_bits(one.probability(), three.probability()));
}

void options_act() {
    const auto result = [](mfp::SessionOptions options) {
        mfp::Session session(fake_network(), image, options);
        session.click(70, 50);
        session.click(20, 20, false);
        session.click(80, 40);
        return session.probability();
    };
    using Options = mfp::SessionOptions;
    const mfp::Map base = result(small());
    CHECK(!same_bits(base, result(with([](Options& o) { o.flip = false; }))));
    CHECK(!same_bits(base, result(with([](Options& o) { o.n_early = 0; }))));
    CHECK(!same_bits(base, result(with([](Options& o) { o.r_max = 5; }))));
    CHECK(!same_bits(base, result(with([](Options& o) { o.distance = mfp::Distance::rgb; }))));
    CHECK(same_bits(base, result(with([](Options& o) {
                        o.n_early = 7;
                        o.r_max = 100;
                    }))));
}

void tiny_and_wide_images() {
    for (const auto& shape : {mfp::Size{1, 1}, {1, 300}, {300, 1}, {2, 3}, {7, 5}, {40, 5000}}) {
        const auto tiny = noise_image(shape.height, shape.width, 3, 9);
        mfp::Session session(fake_network(), {tiny.data(), shape.height, shape.width, 3, 0}, small());
        CHECK_EQUAL(session.click(shape.width - 1, shape.height - 1).pixels.size(),
                    std::size_t(shape.height) * shape.width);
        session.click(0, 0, false);
        for (const float value : session.probability().values) CHECK(value >= 0 && value <= 1);
    }
}

void a_session_keeps_its_network_and_copies_its_image() {
    auto copy = pixels;
    auto network = fake_network();
    mfp::Session session(network, {copy.data(), height, width, 3, 0}, small());
    network.reset();
    std::fill(copy.begin(), copy.end(), std::uint8_t(0));
    session.click(70, 50);
    mfp::Session moved = std::move(session);
    mfp::Session other(fake_network(), image, small());
    other.click(70, 50);
    CHECK(same_bits(moved.probability(), other.probability()));
}

}  // namespace

int main() {
    undo_and_redo_are_exact_and_run_no_network();
    passes_of_a_click();
    the_first_region_follows_the_initial_mask();
    objects_one_after_another();
    a_failing_network_loses_nothing();
    clicks_that_are_refused();
    messages_do_not_follow_the_locale();
    options_that_are_refused();
    images_that_are_refused();
    strides_and_channels();
    options_act();
    tiny_and_wide_images();
    a_session_keeps_its_network_and_copies_its_image();
    return report();
}
