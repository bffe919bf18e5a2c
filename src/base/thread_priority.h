// Threads whose work may wait make way for those that somebody waits for.
#pragma once

namespace kalam {

/// From now on the calling thread gives its processor up as soon as another wants it, and is given
/// it for longer in turn; its share stays as it is. For work that must keep up, whoever else uses
/// the machine. Cannot be taken back.
void TakeLongTurns();

/// From now on the calling thread, and every thread that it starts, gets a tenth of what others get
/// where the processors do not suffice, and gives its processor up as soon as another wants it.
/// It is never left without: it may hold a lock that others need. Cannot be taken back.
void RunBehindOthers();

}  // namespace kalam
