// A copy of the database and of the storage is made at every named step of a flush, as a killed
// process leaves them; each copy is opened, looked at row by row, and flushed again.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "analytics/engine.h"
#include "forgetful_file_system.h"
#include "objects/file_storage.h"
#include "replication/records.h"
#include "segments/segment_store.h"
#include "storage/checkpoint.h"
#include "tables/tables_test_bench.h"
#include "tiering/open_tiering.h"
#include "types/key_codec.h"

namespace kalam {
namespace {

using storage::Family;
using storage::Scope;
using tables::Cells;
using tables::KeyOf;

constexpr TableId kTable{7};

/// What must be seen of each row: its `_seq`, by user and key.
using Model = std::map<std::pair<std::string, int64_t>, Seq>;

/// Passes everything on, unless it is down.
class BreakableStorage final : public objects::ObjectStorage {
 public:
  explicit BreakableStorage(std::unique_ptr<objects::ObjectStorage> storage)
      : storage_(std::move(storage)) {}

  Status PutFile(const std::string& local_file, const std::string& path) override {
    KALAM_RETURN_IF_ERROR(CheckUp());
    return storage_->PutFile(local_file, path);
  }
  Status Put(const std::string& path, std::string_view bytes) override {
    KALAM_RETURN_IF_ERROR(CheckUp());
    return storage_->Put(path, bytes);
  }
  Result<std::string> Read(const std::string& path, int64_t offset, int64_t length) override {
    KALAM_RETURN_IF_ERROR(CheckUp());
    return storage_->Read(path, offset, length);
  }
  Result<objects::ObjectEntry> Stat(const std::string& path) override {
    KALAM_RETURN_IF_ERROR(CheckUp());
    return storage_->Stat(path);
  }
  Status List(const std::string& prefix,
              const std::function<bool(const objects::ObjectEntry&)>& visit) override {
    KALAM_RETURN_IF_ERROR(CheckUp());
    return storage_->List(prefix, visit);
  }
  Status Delete(const std::string& path) override {
    KALAM_RETURN_IF_ERROR(CheckUp());
    return storage_->Delete(path);
  }
  std::string LocalPath(const std::string& path) const override {
    return storage_->LocalPath(path);
  }

  bool is_down = false;

 private:
  Status CheckUp() const {
    return is_down ? Status(ErrorKind::StorageIo, "the storage is down") : Status::Ok();
  }
  const std::unique_ptr<objects::ObjectStorage> storage_;
};

/// One data directory with its storage, and everything that a flush needs.
class Deployment {
 public:
  /// With a file system of the test's, what it fails to do ends nothing but the group.
  Deployment(std::string directory, analytics::Engine& engine,
             std::shared_ptr<testing_support::ForgetfulFileSystem> file_system = nullptr)
      : directory_(std::move(directory)), engine_(engine) {
    std::filesystem::create_directories(directory_);
    storage::StoreOptions store_options;
    store_options.path = directory_ + "/store";
    store_options.file_system = file_system;
    store = std::move(storage::Store::Open(store_options)).value();
    catalog = std::move(catalog::Catalog::Open(*store, account_, 64)).value();
    objects::StorageSettings settings;
    settings.base_directory = directory_ + "/objects";
    objects = std::make_shared<BreakableStorage>(
        std::move(objects::OpenFileStorage(settings, objects::BaseFolder::kCreate)).value());
    const auto storage_of =
        [this](const std::string&) -> Result<std::shared_ptr<objects::ObjectStorage>> {
      return std::shared_ptr<objects::ObjectStorage>(objects);
    };
    segments = std::move(segments::OpenSegmentStore(*store, storage_of, {})).value();
    replication::StandaloneOptions group_options;
    group_options.durability = file_system ? storage::Durability::kFsync : storage::Durability::kOs;
    group_options.on_storage_failure = [](const Status&) {};
    group_options.full_disk_probe_interval_us = 2'000;
    group_options.segments_version = [this](TableId table) {
      return segments->SegmentsVersion(table, nullptr);
    };
    group = std::move(replication::OpenStandaloneGroup(*store, *catalog, group_options)).value();
    reader.emplace(*store, SystemClock(), segments.get());
    tiering::TieringOptions options;
    options.temp_directory = directory_ + "/tmp";
    options.fail_point = [this](std::string_view step) {
      if (at_step) at_step(step);
    };
    tiering =
        std::move(tiering::OpenTiering(
                      {*store, *catalog, *group, engine_, *segments, storage_of, SystemClock(), {}},
                      options))
            .value();
  }

  void MakeTable(catalog::TableType type) {
    auto command = std::make_shared<replication::Command>();
    command->records = catalog->PutStorage({.storage_id = "local", .storage_name = "local"});
    for (catalog::RecordWrite& write : catalog->PutTable(tables::BenchTable(kTable, type)))
      command->records.push_back(std::move(write));
    ASSERT_TRUE(replication::ProposeAndWait(*group, command).status.ok());
  }
  catalog::TablePtr table() const { return catalog->FindTable(kTable).value(); }
  tables::ReadScope Now(const std::string& user) const {
    return {table(), tables::ScopeFor(*table(), user), group->TakeView(), nullptr};
  }

  /// Inserts rows, or writes new versions of them, and notes that in the model.
  void Write(const std::string& user, const std::vector<int64_t>& ids, std::string_view name,
             Model* model) {
    const tables::ReadScope scope = Now(user);
    tables::TableWriter writer(*reader);
    for (const int64_t id : ids) {
      if (model->contains({user, id})) {
        const auto old_row = reader->Get(scope, KeyOf(id), false).value();
        ASSERT_TRUE(old_row.has_value()) << id;
        ASSERT_TRUE(writer.Update(scope, *old_row, Cells(id, name, 1)).ok());
      } else {
        ASSERT_TRUE(writer.Insert(scope, Cells(id, name, 0)).ok());
      }
    }
    const auto result = replication::ProposeAndWait(*group, writer.Finish(scope.view.seq));
    ASSERT_TRUE(result.status.ok()) << result.status.ToString();
    Seq seq = result.seq_begin;
    for (const int64_t id : ids) {
      (*model)[{user, id}] = seq;
      ++seq.value;
    }
  }

  Seq HotSeq(const std::string& user, int64_t id) const {
    const auto scope = tables::ScopeFor(*table(), user);
    const auto value = store->Get(Family::kRows, storage::RowKey(kTable, scope, KeyOf(id))).value();
    return value ? replication::DecodeRowRecord(*value)->seq : Seq{};
  }
  Seq ColdSeq(const std::string& user, int64_t id) const {
    const auto scope = tables::ScopeFor(*table(), user);
    const uint32_t seq_column[] = {3};
    const auto found = segments->Get(table(), scope, KeyOf(id), nullptr, seq_column);
    EXPECT_TRUE(found.ok()) << found.status().ToString();
    return found.ok() && *found ? (*found)->seq : Seq{};
  }

  /// Each row is seen as the model says. Returns how many are hot and cold with one `_seq`.
  int64_t Check(const Model& model, const std::string& when) const {
    int64_t twice = 0;
    for (const auto& [row, seq] : model) {
      const Seq hot = HotSeq(row.first, row.second), cold = ColdSeq(row.first, row.second);
      const Seq seen = hot.value != 0 ? hot : cold;
      EXPECT_EQ(seen, seq) << when << ": row " << row.second << " of '" << row.first << "'";
      if (hot == cold) ++twice;
      if (testing::Test::HasFailure()) return twice;
    }
    EXPECT_EQ(Count(Family::kRows), Count(Family::kOrder)) << when;
    return twice;
  }
  int64_t Count(Family family) const {
    const std::string prefix = storage::TablePrefix(kTable);
    auto records = store->NewIterator(family, {prefix, PrefixEnd(prefix)});
    int64_t count = 0;
    for (records->SeekToFirst(); records->Valid(); records->Next()) ++count;
    return count;
  }

  /// The storage and the index hold what records name, and nothing else.
  void ExpectNothingLeftOver(const std::string& when) const {
    std::set<std::string> named, found;
    std::set<std::string> keys;
    const auto listed = segments::ListSegments(*store, kTable);
    ASSERT_TRUE(listed.ok());
    for (const segments::SegmentRecord& segment : *listed) {
      EXPECT_FALSE(segment.evicting) << when;
      named.insert(segment.path);
      keys.insert(segments::RowGroupsKey(kTable, segment.segment_id));
    }
    EXPECT_TRUE(objects
                    ->List("",
                           [&](const objects::ObjectEntry& entry) {
                             if (entry.path.ends_with(".parquet")) found.insert(entry.path);
                             return true;
                           })
                    .ok());
    EXPECT_EQ(found, named) << when;
    EXPECT_TRUE(segments::ListPrepared(*store, kTable)->empty()) << when;
    const std::string groups = storage::TablePrefix(kTable) + "g";
    const std::string blooms = storage::TablePrefix(kTable) + "b";
    std::set<std::string> found_keys;
    auto records = store->NewIterator(Family::kSegments, {groups, PrefixEnd(groups)});
    for (records->SeekToFirst(); records->Valid(); records->Next())
      found_keys.emplace(records->key());
    EXPECT_EQ(found_keys, keys) << when;
    records = store->NewIterator(Family::kSegments, {blooms, PrefixEnd(blooms)});
    for (records->SeekToFirst(); records->Valid(); records->Next()) {
      std::string key = groups;
      key.append(records->key().substr(blooms.size(), sizeof(uint64_t)));
      EXPECT_TRUE(keys.contains(key)) << when << ": a block of a filter without a segment";
    }
  }

  /// Without the database's help, as its files lie there.
  void CopyFilesTo(const std::string& directory) const {
    for (const std::string folder : {"/store", "/objects"}) {
      std::filesystem::create_directories(directory);
      std::filesystem::copy(directory_ + folder, directory + folder,
                            std::filesystem::copy_options::recursive);
    }
  }
  void CopyTo(const std::string& directory) const {
    std::filesystem::create_directories(directory);
    EXPECT_TRUE(storage::WriteCheckpoint(*store, directory + "/store").ok());
    std::filesystem::copy(directory_ + "/objects", directory + "/objects",
                          std::filesystem::copy_options::recursive);
  }

 private:
  const std::string directory_;
  analytics::Engine& engine_;
  MemoryAccount account_{"root", nullptr};

 public:
  std::shared_ptr<BreakableStorage> objects;
  std::function<void(std::string_view)> at_step;  // outlives what calls it
  std::unique_ptr<storage::Store> store;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<segments::SegmentStore> segments;
  std::unique_ptr<replication::ReplicationGroup> group;
  std::optional<tables::TableReader> reader;
  std::unique_ptr<tiering::Tiering> tiering;
};

class FlushStepsTest : public testing::Test {
 protected:
  FlushStepsTest() {
    char pattern[] = "/tmp/kalam-steps-XXXXXX";
    directory_ = mkdtemp(pattern);
    analytics::EngineOptions engine_options;
    engine_options.plugin_directory = KALAM_PLUGIN_DIRECTORY;
    engine_ = analytics::MakeEngine(engine_options);
    running_.emplace(directory_ + "/running", *engine_);
  }
  ~FlushStepsTest() override {
    running_.reset();
    engine_.reset();
    std::filesystem::remove_all(directory_);
  }

  static std::vector<int64_t> Range(int64_t first, int64_t last) {
    std::vector<int64_t> ids;
    for (int64_t id = first; id <= last; ++id) ids.push_back(id);
    return ids;
  }
  void Write(const std::string& user, const std::vector<int64_t>& ids,
             std::string_view name = "x") {
    running_->Write(user, ids, name, &model_);
  }
  /// Rows that do not compress, so wide that a segment ends after some of them.
  void WriteWide(int64_t first, int64_t last) {
    std::mt19937 random(5);
    for (int64_t id = first; id <= last; ++id) {
      std::string name(200'000, ' ');
      for (char& byte : name) byte = static_cast<char>(' ' + random() % 90);
      Write("", {id}, name);
    }
  }

  /// Flushes; at each step calls `meanwhile`, then copies what a process that is killed there would
  /// leave.
  void Flush(const std::function<void(std::string_view)>& meanwhile = {}) {
    running_->at_step = [&](std::string_view step) {
      if (meanwhile) meanwhile(step);
      const std::string place = directory_ + "/copy" + std::to_string(copies_.size());
      running_->CopyTo(place);
      copies_.push_back({std::string(step), place, model_});
    };
    const auto flushed = running_->tiering->Flush(kTable, {});
    running_->at_step = {};
    ASSERT_TRUE(flushed.ok()) << flushed.status().ToString();
    running_->Check(model_, "at the end");
    running_->ExpectNothingLeftOver("at the end");
  }
  std::vector<std::string> Steps() const {
    std::vector<std::string> steps;
    for (const Copy& copy : copies_) steps.push_back(copy.step);
    return steps;
  }

  /// Opens every copy. `twice_at`: the steps at which rows may be hot and cold at once.
  void CheckCopies(const std::set<std::string>& twice_at = {}) {
    for (size_t i = 0; i < copies_.size(); ++i) {
      const std::string when = std::to_string(i) + ", " + copies_[i].step;
      Deployment copy(copies_[i].directory, *engine_);
      const int64_t twice = copy.Check(copies_[i].model, when);
      if (!twice_at.contains(copies_[i].step)) EXPECT_EQ(twice, 0) << when;
      // By itself, as after a crash of the job; then with a row that changed since.
      tiering::Work again;
      again.is_repeated = i % 2 == 0;
      ASSERT_TRUE(copy.tiering->Flush(kTable, again).ok()) << when;
      EXPECT_EQ(copy.Check(copies_[i].model, when + ", flushed"), 0);
      EXPECT_EQ(copy.Count(Family::kRows), 0) << when;
      if (again.is_repeated || copies_[i].model.begin()->first.first.empty())
        copy.ExpectNothingLeftOver(when);
      const auto [user, id] = copies_[i].model.begin()->first;
      copy.Write(user, {id}, "later", &copies_[i].model);
      ASSERT_TRUE(copy.tiering->Flush(kTable, {}).ok()) << when;
      EXPECT_EQ(copy.Check(copies_[i].model, when + ", flushed twice"), 0);
      if (HasFailure()) return;
    }
  }

  struct Copy {
    std::string step, directory;
    Model model;
  };
  std::string directory_;
  std::unique_ptr<analytics::Engine> engine_;
  std::optional<Deployment> running_;
  Model model_;
  std::vector<Copy> copies_;
};

TEST_F(FlushStepsTest, AScopeOfFewRows) {
  running_->MakeTable(catalog::TableType::kShared);
  Write("", Range(1, 700));
  Flush([this](std::string_view step) {
    if (step == "flush.put") Write("", {3, 5});
  });
  EXPECT_EQ(Steps(),
            (std::vector<std::string>{"flush.written", "flush.prepared", "flush.put",
                                      "flush.committing", "flush.committed", "flush.manifest"}));
  EXPECT_EQ(running_->Count(Family::kRows), 2);
  CheckCopies();
}

TEST_F(FlushStepsTest, AScopeOfSeveralSegments) {
  running_->MakeTable(catalog::TableType::kShared);
  Write("", Range(1, 100));
  WriteWide(101, 145);
  Write("", Range(146, 1700));
  Flush([this](std::string_view step) {
    if (step == "flush.prepared") Write("", {1, 120, 1699, 5000}, std::to_string(copies_.size()));
  });
  EXPECT_GE(segments::ListSegments(*running_->store, kTable)->size(), 2u);
  EXPECT_EQ(running_->Count(Family::kRows), 4);
  CheckCopies();
}

TEST_F(FlushStepsTest, AScopeThatIsWrittenBetweenTheLastLookAndTheCommand) {
  running_->MakeTable(catalog::TableType::kShared);
  Write("", Range(1, 1500));
  int attempts = 0;
  Flush([&](std::string_view step) {
    if (step == "flush.committing" && ++attempts < 3) Write("", {attempts * 10});
  });
  EXPECT_EQ(attempts, 3);
  EXPECT_EQ(running_->Count(Family::kRows), 2);
  CheckCopies();
}

TEST_F(FlushStepsTest, AScopeOfWhichTooMuchChanges) {
  running_->MakeTable(catalog::TableType::kShared);
  Write("", Range(1, 3000));
  Flush([this](std::string_view step) {
    if (step == "flush.put") Write("", Range(1000, 2500));
  });
  const std::vector<std::string> steps = Steps();
  EXPECT_EQ(std::count(steps.begin(), steps.end(), "flush.committing"), 0);
  EXPECT_EQ(std::count(steps.begin(), steps.end(), "flush.evicting"), 1);
  EXPECT_EQ(std::count(steps.begin(), steps.end(), "flush.evicted"), 1);
  EXPECT_EQ(running_->Count(Family::kRows), 1501);
  CheckCopies({"flush.committed", "flush.evicting"});
}

TEST_F(FlushStepsTest, ManySmallScopesAndALargeOne) {
  running_->MakeTable(catalog::TableType::kUser);
  Write("large", Range(1, 9000));
  for (int user = 0; user < 30; ++user) Write("user" + std::to_string(user), Range(1, 40));
  Flush();
  CheckCopies({"flush.committed", "flush.evicting"});
}

TEST_F(FlushStepsTest, WhatAFailedFlushPreparedIsRemovedAtOnce) {
  running_->MakeTable(catalog::TableType::kShared);
  Write("", Range(1, 100));
  WriteWide(101, 145);
  Write("", Range(146, 300));
  bool cancelled = false;
  running_->at_step = [&](std::string_view step) { cancelled |= step == "flush.put"; };
  tiering::Work work;
  work.cancelled = [&] { return cancelled; };
  EXPECT_TRUE(running_->tiering->Flush(kTable, work).status().Is(ErrorKind::Cancelled));
  running_->at_step = {};
  EXPECT_EQ(running_->Count(Family::kRows), 300);
  EXPECT_TRUE(segments::ListSegments(*running_->store, kTable)->empty());
  running_->ExpectNothingLeftOver("cancelled");
  EXPECT_EQ(running_->Check(model_, "cancelled"), 0);
  EXPECT_TRUE(running_->tiering->TakeWithUnfinishedEvictions()->empty());
  Flush();
  CheckCopies();
}

TEST_F(FlushStepsTest, AStorageThatIsDownBetweenTwoFiles) {
  running_->MakeTable(catalog::TableType::kShared);
  Write("", Range(1, 100));
  WriteWide(101, 145);
  Write("", Range(146, 300));
  running_->at_step = [&](std::string_view step) {
    if (step == "flush.put") running_->objects->is_down = true;
  };
  EXPECT_TRUE(running_->tiering->Flush(kTable, {}).status().Is(ErrorKind::StorageIo));
  running_->at_step = {};
  EXPECT_EQ(running_->Count(Family::kRows), 300);
  EXPECT_EQ(running_->Check(model_, "down"), 0);
  EXPECT_FALSE(segments::ListPrepared(*running_->store, kTable)->empty());
  EXPECT_TRUE(running_->tiering->Flush(kTable, {}).status().Is(ErrorKind::StorageIo));
  running_->objects->is_down = false;
  // Without a flush: what the scheduler finds is enough.
  EXPECT_EQ(*running_->tiering->TakeWithUnfinishedEvictions(), std::vector<TableId>{kTable});
  EXPECT_TRUE(*running_->tiering->FinishEvictions(kTable, {}));
  running_->ExpectNothingLeftOver("cleaned up");
  EXPECT_TRUE(running_->tiering->TakeWithUnfinishedEvictions()->empty());
  Flush();
  CheckCopies();
}

TEST_F(FlushStepsTest, NothingIsRemovedThatARestartMayFindCommitted) {
  auto file_system =
      std::make_shared<testing_support::ForgetfulFileSystem>(directory_ + "/attic", 1);
  running_.emplace(directory_ + "/failing", *engine_, file_system);
  running_->MakeTable(catalog::TableType::kShared);
  Write("", Range(1, 1500));
  running_->at_step = [&](std::string_view step) {
    if (step == "flush.committing") file_system->FailSyncs(true);
  };
  const Status flushed = running_->tiering->Flush(kTable, {}).status();
  EXPECT_TRUE(flushed.Is(ErrorKind::OutcomeUnknown)) << flushed.ToString();
  // The next attempt must not clean up either.
  tiering::Work again;
  again.is_repeated = true;
  EXPECT_FALSE(running_->tiering->Flush(kTable, again).ok());
  EXPECT_EQ(running_->Check(model_, "in doubt"), 0);
  running_.reset();
  file_system->FailSyncs(false);
  running_.emplace(directory_ + "/failing", *engine_, file_system);
  // The bytes had reached the log, so the command counts.
  EXPECT_EQ(segments::ListSegments(*running_->store, kTable)->size(), 1u);
  EXPECT_EQ(running_->Count(Family::kRows), 0);
  EXPECT_EQ(running_->Check(model_, "after the restart"), 0);
  running_->ExpectNothingLeftOver("after the restart");
}

TEST_F(FlushStepsTest, AFullDiskLeavesRowsHotUntilThereIsRoom) {
  auto file_system =
      std::make_shared<testing_support::ForgetfulFileSystem>(directory_ + "/attic", 1);
  for (const std::string at : {"flush.put", "flush.committing"}) {
    running_.emplace(directory_ + "/" + at, *engine_, file_system);
    running_->MakeTable(catalog::TableType::kShared);
    model_.clear();
    Write("", Range(1, 1500));
    running_->at_step = [&](std::string_view step) {
      if (step == at) file_system->SetFreeBytes(100, /*told=*/false);
    };
    EXPECT_FALSE(running_->tiering->Flush(kTable, {}).ok()) << at;
    EXPECT_EQ(running_->Check(model_, at), 0);
    EXPECT_EQ(running_->Count(Family::kRows), 1500) << at;
    running_->CopyFilesTo(directory_ + "/" + at + "-copy");
    running_->at_step = {};
    file_system->SetFreeBytes(-1);
    // As a process that is killed before there is room.
    Deployment copy(directory_ + "/" + at + "-copy", *engine_);
    EXPECT_EQ(copy.Check(model_, at + ", killed"), 0);
    ASSERT_TRUE(copy.tiering->Flush(kTable, {}).ok()) << at;
    EXPECT_EQ(copy.Check(model_, at + ", killed and flushed"), 0);
    copy.ExpectNothingLeftOver(at + ", killed and flushed");
    Status flushed;
    do {
      flushed = running_->tiering->Flush(kTable, {}).status();
    } while (flushed.Is(ErrorKind::ReadOnly));
    ASSERT_TRUE(flushed.ok()) << at << ": " << flushed.ToString();
    EXPECT_EQ(running_->Count(Family::kRows), 0) << at;
    EXPECT_EQ(running_->Check(model_, at + ", with room"), 0);
    running_->ExpectNothingLeftOver(at + ", with room");
  }
}

TEST_F(FlushStepsTest, ATableThatIsDroppedMeanwhileLeavesNothingInTheIndex) {
  for (const std::string at :
       {"flush.written", "flush.prepared", "flush.put", "flush.committing", "flush.committed"}) {
    running_->MakeTable(catalog::TableType::kShared);
    model_.clear();
    Write("", Range(1, 1500));
    running_->at_step = [&](std::string_view step) {
      if (step != at) return;
      auto drop = std::make_shared<replication::Command>();
      const auto table = running_->table();
      drop->dropped_tables = {kTable};
      drop->records = running_->catalog->DropTable(*table);
      ASSERT_TRUE(replication::ProposeAndWait(*running_->group, drop).status.ok());
    };
    const auto flushed = running_->tiering->Flush(kTable, {});
    EXPECT_TRUE(flushed.ok() ? at == "flush.committed" || !flushed->table_found : false)
        << at << ": " << flushed.status().ToString();
    running_->at_step = {};
    EXPECT_EQ(running_->Count(Family::kSegments), 0) << at;
    EXPECT_EQ(running_->Count(Family::kRows), 0) << at;
  }
}

}  // namespace
}  // namespace kalam
