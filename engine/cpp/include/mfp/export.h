/**
 * @file
 * MFP_API marks what the library exports; everything else in it is hidden.
 *
 * MFP_SHARED is defined by the CMake package of a shared library; MFP_BUILDING only while the library is compiled.
 */
#ifndef MFP_EXPORT_H
#define MFP_EXPORT_H

#if defined(_WIN32) && defined(MFP_SHARED)
#ifdef MFP_BUILDING
#define MFP_API __declspec(dllexport)
#else
#define MFP_API __declspec(dllimport)
#endif
#elif defined(__GNUC__) && !defined(_WIN32)
#define MFP_API __attribute__((visibility("default")))
#else
#define MFP_API
#endif

#endif
