/* The C face, from C. Arguments: toy.onnx and a runtime that opens it; else nothing. */
#include <mfp/mfp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

#define CHECK(condition)                                                                        \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, error.message); \
            ++failures;                                                                         \
        }                                                                                       \
    } while (0)

enum { HEIGHT = 60, WIDTH = 80 };

int main(int count, char** arguments) {
    static uint8_t pixels[HEIGHT * WIDTH * 3], first[HEIGHT * WIDTH], mask[HEIGHT * WIDTH];
    static float probability[HEIGHT * WIDTH];
    mfp_error error = {MFP_OK, ""};
    mfp_network* network = NULL;
    mfp_session* session = NULL;
    mfp_network_options network_options = {NULL, NULL, 0, 0};
    mfp_session_options options;
    mfp_timing timing;
    const mfp_image image = {pixels, HEIGHT, WIDTH, 3, 0};
    int i, height = -1, width = -1, roi[4];

    CHECK(mfp_network_load("absent.onnx", NULL, &network, &error) != MFP_OK);
    CHECK(network == NULL && strlen(error.message) > 0 && error.status != MFP_OK);
    CHECK(mfp_network_load(NULL, NULL, &network, &error) == MFP_ERROR_OPTION);
    CHECK(mfp_network_load("absent.onnx", NULL, &network, NULL) != MFP_OK);
    CHECK(mfp_session_new(NULL, &image, NULL, &session, &error) == MFP_ERROR_OPTION);
    CHECK(mfp_session_click(NULL, 0, 0, 1, mask, &error) == MFP_ERROR_OPTION);
    mfp_session_free(NULL);
    mfp_network_free(NULL);
    if (count < 3) return failures != 0;

    for (i = 0; i < HEIGHT * WIDTH * 3; ++i) pixels[i] = (uint8_t)(i * 7 % 251);
    network_options.runtime = arguments[2];
    CHECK(mfp_network_load(arguments[1], &network_options, &network, &error) == MFP_OK);
    CHECK(mfp_network_size(network, &height, &width, &error) == MFP_OK && height == 0 && width == 0);
    CHECK(mfp_network_backbone(network) != NULL);
    mfp_session_options_init(&options);
    options.threshold = 2;
    CHECK(mfp_session_new(network, &image, &options, &session, &error) == MFP_ERROR_OPTION);
    CHECK(strstr(error.message, "expected a threshold between 0 and 1, got 2") != NULL);
    options.threshold = 0.5;
    options.longer_side = 64;
    CHECK(mfp_session_new(network, &image, &options, &session, &error) == MFP_OK);
    mfp_network_free(network); /* the session keeps it */
    CHECK(mfp_session_roi(session, roi, &error) == MFP_ERROR_SESSION);
    CHECK(mfp_session_timing(session, &timing, &error) == MFP_ERROR_SESSION);
    CHECK(mfp_session_undo(session, NULL, &error) == MFP_ERROR_NOTHING_TO_UNDO);
    CHECK(mfp_session_click(session, 40, 30, 1, first, &error) == MFP_OK);
    CHECK(mfp_session_roi(session, roi, &error) == MFP_OK && roi[0] == 0 && roi[1] == HEIGHT - 1 &&
          roi[3] == WIDTH - 1);
    CHECK(mfp_session_timing(session, &timing, &error) == MFP_OK && timing.passes == 2 && timing.network > 0);
    CHECK(mfp_session_click(session, 200, 30, 1, mask, &error) == MFP_ERROR_CLICK);
    CHECK(mfp_session_click(session, 10, 10, 0, NULL, &error) == MFP_OK);
    CHECK(mfp_session_undo(session, mask, &error) == MFP_OK && memcmp(mask, first, sizeof mask) == 0);
    CHECK(mfp_session_redo(session, mask, &error) == MFP_OK);
    CHECK(mfp_session_reset(session, &error) == MFP_OK);
    CHECK(mfp_session_mask(session, mask, &error) == MFP_OK && !memchr(mask, 1, sizeof mask));
    CHECK(mfp_session_probability(session, probability, &error) == MFP_OK && probability[0] == 0);
    CHECK(mfp_session_probability(session, NULL, &error) == MFP_ERROR_OPTION);
    CHECK(mfp_session_finish(session, mask, &error) == MFP_ERROR_SESSION);
    mfp_session_free(session);
    return failures != 0;
}
