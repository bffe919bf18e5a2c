// The media type of a file: from its bytes, else from its name; never from what a client says
// alone.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace kalam::files {

/// `front`: the first kMagicBytes of the content. Types that are known by their bytes (png, jpeg,
/// gif, webp, pdf, zip) are only believed when the bytes say so; others go by the extension, then
/// by `declared` (the part's Content-Type) unless that claims one of the former or something that a
/// browser runs. Else `application/octet-stream`.
std::string MimeTypeOf(std::string_view front, std::string_view file_name,
                       std::string_view declared);

/// Whether `mime` is in the list: exact, or `type/*`. An empty list allows all.
bool IsAllowedMimeType(std::span<const std::string> allowed, std::string_view mime);

/// Whether a browser may show it in place: images, sound, film, plain text, PDF. Everything else
/// (HTML, SVG, XML, scripts, what nobody knows) is for saving.
bool MayShowInline(std::string_view mime);

}  // namespace kalam::files
