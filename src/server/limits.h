// The named bounds of this layer and why they are what they are.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kalam::server {

/// Bytes that one read takes from a socket into its core's shared buffer.
inline constexpr size_t kReadBufferBytes = 64 << 10;
/// The share of what `connections.read` has left that one read may take, and the least of it.
inline constexpr int64_t kReadersOfWhatIsLeft = 8;
inline constexpr int64_t kSmallReadBytes = 2 << 10;
/// Reads of one connection in one turn of its loop, so that a flood on one socket does not starve
/// the others.
inline constexpr int kReadsPerTurnMax = 4;
/// A connection with this many unsent bytes is not writable: streams and live queries stop pulling
/// for it. One chunk of a stream is enough: who reads finds the next in the kernel's buffer
/// meanwhile, and who does not read holds no more.
inline constexpr size_t kOutputHighWaterBytes = 32 << 10;
/// The same for a WebSocket: a subscriber that does not read holds little; the change log has the
/// rest. Either is writable again below a quarter.
inline constexpr size_t kLiveOutputHighWaterBytes = 16 << 10;
/// Of either, while sockets hold more than half of what they may.
inline constexpr uint32_t kShortHighWaterDivisor = 8;
/// A WebSocket that asks on (errors, acknowledgements) without taking the answers is not read any
/// further when they are this much; its pings stay unheard then.
inline constexpr size_t kUnreadAnswerBytesMax = 16 << 10;
/// Bytes that may wait for one socket, and for all of a core, while a turn gathers what it sends
/// (EventLoop::Gathering).
inline constexpr size_t kGatheredSocketBytesMax = 8 << 10;
inline constexpr size_t kGatheredBytesMax = 1 << 20;
/// A client that lets this much pile up is cut off: answers that cannot be held back (pongs,
/// errors) count too.
inline constexpr size_t kOutputBytesMax = 8 << 20;
/// SO_SNDBUF of accepted sockets: bounds the kernel memory that a client which stops reading can
/// hold.
inline constexpr int kSocketSendBufferBytes = 64 << 10;
/// TCP_NOTSENT_LOWAT: the socket is writable again only when the kernel has little left to send.
inline constexpr int kSocketUnsentLowWaterBytes = 16 << 10;

/// What a client that has closed its own side gets to take the rest of an answer.
inline constexpr int kHalfClosedGraceSeconds = 5;

/// Header lines of a request; more is 431.
inline constexpr size_t kHeaderLinesMax = 100;
/// Longest request target; more is 414.
inline constexpr size_t kTargetBytesMax = 8 << 10;
/// Longest line of a chunk's size with its extensions.
inline constexpr size_t kChunkLineBytesMax = 256;
/// Bodies that are still arriving may hold this much together; a further large one is refused with
/// 503.
inline constexpr int64_t kArrivingBodiesBytesMax = 256 << 20;
/// Smaller bodies are not counted.
inline constexpr int64_t kUncountedBodyBytes = 16 << 10;
/// Longest WebSocket message before sign-in: a token has at most 8 KiB.
inline constexpr size_t kUnauthenticatedMessageBytesMax = 16 << 10;
/// What an upload may send besides its files.
inline constexpr int64_t kUploadFormBytesMax = 16 << 20;
/// Bytes of an upload that wait for a worker; beyond it the client is held back.
inline constexpr size_t kUploadBufferBytes = 256 << 10;
/// Bytes of a download that one turn of a worker reads.
inline constexpr int64_t kDownloadPieceBytes = 128 << 10;
/// The same when sockets hold almost what they may.
inline constexpr int64_t kSmallDownloadPieceBytes = 32 << 10;
/// Longest SQL text.
inline constexpr size_t kSqlBytesMax = 1 << 20;

/// A message beyond the limit is skipped while it is read, so that the socket can stay; beyond this
/// many times the limit it is closed.
inline constexpr size_t kSkippedMessageFactor = 16;
/// Bytes of rows encoded for one chunk of a streamed answer.
inline constexpr size_t kStreamChunkBytes = 32 << 10;
/// The same for a client that has taken kTrustedAfterBytes, while sockets hold less than half of
/// what they may: a third faster over loopback.
inline constexpr size_t kLargeStreamChunkBytes = 128 << 10;
inline constexpr size_t kTrustedAfterBytes = 512 << 10;
/// A whole answer of so many bytes is sent although sockets hold more than half of what they may.
inline constexpr size_t kUnaskedAnswerBytes = 4 << 10;
/// Statements that wait for a worker thread; more answer SERVER_BUSY.
inline constexpr size_t kWorkerQueueMax = 1024;
/// Idle worker threads go away after this.
inline constexpr int kWorkerIdleSeconds = 10;
/// WebSockets in the process; more are refused with 503.
inline constexpr int64_t kWebSocketsMax = 100'000;
/// Committed batches that wait for one core; beyond it the core's subscriptions catch up from the
/// change log.
inline constexpr size_t kCommitMailboxMax = 4096;
/// Bytes of such batches; one batch is taken whatever its size.
inline constexpr size_t kCommitMailboxBytesMax = 4 << 20;
/// Descriptors for logs, segments, uploads and whatever else is no connection, beside those of
/// storage.rocksdb.max_open_files.
inline constexpr int64_t kReservedDescriptors = 256;
/// Connections that are taken however few descriptors there are.
inline constexpr int64_t kConnectionsAlways = 64;
/// Shutdown: what open connections get to take their last bytes.
inline constexpr int kShutdownGraceMs = 2000;

// What is only gathered must not make a socket look full.
static_assert(kGatheredSocketBytesMax < kLiveOutputHighWaterBytes);
static_assert(kLiveOutputHighWaterBytes < kOutputHighWaterBytes &&
              kOutputHighWaterBytes < kOutputBytesMax);
static_assert(kStreamChunkBytes <= kOutputHighWaterBytes);

}  // namespace kalam::server
