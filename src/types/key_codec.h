// The memcomparable key codec: byte order of encoded keys is SQL order of the values.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "types/value.h"

namespace kalam {

/// Appends one non-NULL value so that memcmp orders as SQL does (text byte-wise, numbers by value, false < true).
/// Text and bytes: escaped (00 -> 00 FF) and ended by 00 01, so that no encoding is a prefix of another.
/// Integers: big-endian with the sign bit flipped. Doubles: sign-magnitude to ordered bits; -0 equals 0; NaN last.
/// Decimals of one column (fixed scale): 16 bytes big-endian with the sign bit flipped. UUID: its 16 bytes.
void EncodeKey(const Datum& value, std::string* out);

/// Reads one value of `type` from the front of `in` and drops it; unescaped bytes live in `arena`. Errors: Corruption.
Result<Datum> DecodeKey(const DataType& type, std::string_view* in, Arena* arena);

/// Escaped text as above, for scopes and names inside keys.
void EncodeKeyText(std::string_view text, std::string* out);
/// The bytes that the encodings of all texts that begin with `prefix` begin with.
void EncodeKeyTextPrefix(std::string_view prefix, std::string* out);
[[nodiscard]] bool DecodeKeyText(std::string_view* in, std::string* text);

void EncodeBigEndian32(uint32_t value, std::string* out);
void EncodeBigEndian64(uint64_t value, std::string* out);
uint32_t DecodeBigEndian32(const char* bytes);
uint64_t DecodeBigEndian64(const char* bytes);

/// The smallest key greater than every key that starts with `prefix`; empty when there is none.
std::string PrefixEnd(std::string_view prefix);

}  // namespace kalam
