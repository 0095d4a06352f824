// Milliseconds of first and later clicks:
//     latency [--runtime NAME] [--threads N] [--no-flip] NETWORK PHOTOGRAPH [CLICKS]
// Prints a JSON record of kind cpp_latency: each click by its stages, as in mfp/session.hpp. Percentiles go to stderr.
// `mfp bench report` does not read it: it has no floors, masks and facts of the machine, which `mfp bench` measures.
// Each session takes one first click and ten later ones, until there are CLICKS later ones.
#include <chrono>
#include <cstdio>
#include <random>

#include "arguments.hpp"
#include "pictures.hpp"

namespace {

double percentile(std::vector<double> values, double share) {
    std::sort(values.begin(), values.end());
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (values[above] - values[below]) * (place - static_cast<double>(below));
}

void print_clicks(const char* name, const std::vector<mfp::Timing>& clicks) {
    std::printf("   \"%s\": [", name);
    for (std::size_t i = 0; i < clicks.size(); ++i) {
        const mfp::Timing& t = clicks[i];
        std::printf(
            "%s\n    {\"crop\": %.6f, \"encode\": %.6f, \"modulate\": %.6f, \"network\": %.6f, \"paste\": %.6f, "
            "\"device\": %.6f, \"passes\": %d, \"total\": %.6f}",
            i ? "," : "", t.crop, t.encode, t.modulate, t.network, t.paste, t.device, t.passes, t.total());
    }
    std::printf("\n   ],\n");
}

void print_percentiles(const char* name, const std::vector<mfp::Timing>& clicks) {
    std::vector<double> totals, outside;
    for (const mfp::Timing& t : clicks) {
        totals.push_back(t.total());
        outside.push_back(t.outside_network());
    }
    std::fprintf(stderr, "%s click: p50 %.1f, p95 %.1f, p99 %.1f ms; outside the network p50 %.2f, p95 %.2f ms\n", name,
                 percentile(totals, 0.5), percentile(totals, 0.95), percentile(totals, 0.99), percentile(outside, 0.5),
                 percentile(outside, 0.95));
}

// A text as it may stand in JSON.
std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') result += '\\';
        result += c;
    }
    return result + '"';
}

}  // namespace

int main(int count, char** arguments) {
    try {
        const Arguments given = parsed(count, arguments);
        const std::vector<std::string>& words = given.words;
        if (words.size() < 2 || words.size() > 3) {
            std::fprintf(stderr, "expected: latency %s NETWORK PHOTOGRAPH [CLICKS]\n", options_usage);
            return 2;
        }
        const auto wanted = static_cast<std::size_t>(words.size() > 2 ? whole_number("CLICKS", words[2], 1) : 20);
        const auto start = std::chrono::steady_clock::now();
        const auto network = mfp::Network::load(words[0], given.network);
        const double load = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        const Picture photograph = read_picture(words[1]);
        std::vector<mfp::Timing> first, later;
        double cold = 0;
        std::mt19937 generator(0);
        std::uniform_real_distribution<double> x(0, photograph.width), y(0, photograph.height);
        while (later.size() < wanted) {
            mfp::Session session(network, photograph.view(), given.session);
            session.click(photograph.width / 2.0, photograph.height / 2.0);
            if (cold == 0) {  // the first of all pays for what the runtime makes on demand
                cold = session.timing()->total();
            } else {
                first.push_back(*session.timing());
            }
            for (int k = 1; k <= 10 && later.size() < wanted; ++k) {
                const double column = x(generator), row = y(generator);
                session.click(column, row, k % 2 == 0);
                later.push_back(*session.timing());
            }
        }
        if (first.empty()) {
            mfp::Session session(network, photograph.view(), given.session);
            session.click(photograph.width / 2.0, photograph.height / 2.0);
            first.push_back(*session.timing());
        }
        const mfp::NetworkInfo& info = network->info();
        std::printf(
            "{\n \"kind\": \"cpp_latency\",\n \"schema\": 1,\n \"settings\": {\"language\": \"C++\", \"clicks\": %zu, "
            "\"flip\": %s, \"photograph\": [%d, %d], \"threads\": %d},\n \"runs\": [\n  {\n",
            wanted, given.session.flip ? "true" : "false", photograph.height, photograph.width, given.network.threads);
        std::printf(
            "   \"backbone\": %s,\n   \"name\": %s,\n   \"way\": \"engine\",\n   \"runtime\": %s,\n   \"precision\": "
            "%s,\n   \"device\": %s,\n   \"cold\": {\"load_s\": %.6f, \"first_click_ms\": %.6f},\n",
            quoted(info.backbone).c_str(), quoted("C++, " + network->runtime() + " " + info.precision).c_str(),
            quoted(network->runtime()).c_str(), quoted(info.precision).c_str(), quoted(network->device()).c_str(), load,
            cold);
        print_clicks("first", first);
        print_clicks("later", later);
        std::printf("   \"stages\": null\n  }\n ],\n \"finished\": true\n}\n");
        print_percentiles("first", first);
        print_percentiles("later", later);
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "latency: %s\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "latency: %s\n", error.what());
        return 1;
    }
}
