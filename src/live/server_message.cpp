// Encoders of server messages.
#include "live/server_message.h"

#include <algorithm>
#include <numeric>

#include "live/wire_writer.h"

namespace kalam::live {
namespace {

using catalog::TableDefinition;

std::string_view NameOf(BatchStatus status) {
  switch (status) {
    case BatchStatus::kLoading:
      return "loading";
    case BatchStatus::kLoadingBatch:
      return "loading_batch";
    case BatchStatus::kReady:
      break;
  }
  return "ready";
}

void WriteControl(const BatchControl& control, WireWriter* writer) {
  writer->Key("batch_control");
  writer->BeginMap(4);
  writer->Key("batch_num");
  writer->Integer(control.batch_num);
  writer->Key("has_more");
  writer->Boolean(control.has_more);
  writer->Key("status");
  writer->Text(NameOf(control.status));
  writer->Key("last_seq_id");
  if (control.last_seq) {
    writer->Integer(control.last_seq->value);
  } else {
    writer->Null();
  }
  writer->EndMap();
}

void WriteSchema(const ResultSchema& schema, WireWriter* writer) {
  writer->Key("schema");
  writer->BeginArray(static_cast<uint32_t>(schema.size()));
  for (size_t i = 0; i < schema.size(); ++i) {
    const ResultColumn& column = schema[i];
    const uint32_t flag_count = column.primary_key + column.not_null + column.unique;
    writer->BeginMap(flag_count > 0 ? 4 : 3);
    writer->Key("name");
    writer->Text(column.name);
    writer->Key("data_type");
    writer->TypeName(column.type);
    writer->Key("index");
    writer->Integer(static_cast<int64_t>(i));
    if (flag_count > 0) {
      writer->Key("flags");
      writer->BeginArray(flag_count);
      if (column.primary_key) writer->Text("pk");
      if (column.not_null) writer->Text("nn");
      if (column.unique) writer->Text("uq");
      writer->EndArray();
    }
    writer->EndMap();
  }
  writer->EndArray();
}

void WriteSystemCells(Seq seq, std::optional<bool> deleted, WireWriter* writer) {
  writer->Key(catalog::kSeqColumn);
  writer->Text(std::to_string(seq.value));
  if (deleted) {
    writer->Key(catalog::kDeletedColumn);
    writer->Boolean(*deleted);
  }
}

void WriteCells(const TableDefinition& table, std::span<const uint32_t> columns,
                std::span<const Datum> cells, WireWriter* writer) {
  for (uint32_t index : columns) {
    writer->Key((*table.columns)[index].name);
    writer->Cell(cells[index], (*table.columns)[index].type);
  }
}

void WriteRow(const TableDefinition& table, std::span<const uint32_t> columns,
              std::span<const Datum> cells, Seq seq, std::optional<bool> deleted,
              WireWriter* writer) {
  writer->BeginMap(static_cast<uint32_t>(columns.size()) + 1 + (deleted ? 1 : 0));
  WriteCells(table, columns, cells, writer);
  WriteSystemCells(seq, deleted, writer);
  writer->EndMap();
}

/// Compressed if the format asks for it and it is worth it, else as it is.
OutgoingMessage Compose(const WireFormat& format, std::string payload) {
  OutgoingMessage message;
  message.binary = format.msgpack;
  if (format.gzip && payload.size() >= kGzipThresholdBytes) {
    if (std::string compressed = Gzip(payload); !compressed.empty()) {
      message.binary = true;
      message.head = std::move(compressed);
      return message;
    }
  }
  message.head = std::move(payload);
  return message;
}

/// The projection with the primary key, which updates and deletes carry so that clients know which
/// row is meant.
std::vector<uint32_t> WithKey(const TableDefinition& table, std::span<const uint32_t> projection) {
  std::vector<uint32_t> columns(projection.begin(), projection.end());
  const std::optional<size_t> key = table.PrimaryKey();
  if (key && std::find(columns.begin(), columns.end(), *key) == columns.end()) {
    columns.insert(columns.begin(), static_cast<uint32_t>(*key));
  }
  return columns;
}

/// Of an update: the key and the old values of what changed, among the columns that are sent.
std::vector<uint32_t> DeltaColumns(const ChangeRows& rows, std::span<const uint32_t> sent) {
  const std::optional<size_t> key = rows.table->PrimaryKey();
  std::vector<uint32_t> columns;
  for (uint32_t index : sent) {
    const bool changed = std::find(rows.changed_columns.begin(), rows.changed_columns.end(),
                                   index) != rows.changed_columns.end();
    if (changed || (key && index == *key)) columns.push_back(index);
  }
  return columns;
}

void WriteStreamDelete(const ChangeRows& rows, std::span<const uint32_t> columns,
                       WireWriter* writer) {
  writer->BeginMap(static_cast<uint32_t>(columns.size()) + 2);
  writer->Key("row_id");
  writer->Text(std::string(rows.user_id) + ":" + std::to_string(rows.previous_seq.value));
  WriteCells(*rows.table, columns, rows.old_cells, writer);
  WriteSystemCells(rows.seq, std::nullopt, writer);
  writer->EndMap();
}

/// change_type, rows, old_values; returns how many of them were written.
uint32_t WriteChange(ChangeKind kind, const ChangeRows& rows, std::span<const uint32_t> projection,
                     WireWriter* writer) {
  const auto deleted = [&rows](bool value) {
    return rows.is_stream ? std::nullopt : std::optional<bool>(value);
  };
  writer->Key("change_type");
  if (kind == ChangeKind::kInsert) {
    writer->Text("insert");
    writer->Key("rows");
    writer->BeginArray(1);
    WriteRow(*rows.table, projection, rows.new_cells, rows.seq, deleted(false), writer);
    writer->EndArray();
    return 2;
  }
  const std::vector<uint32_t> columns = WithKey(*rows.table, projection);
  if (kind == ChangeKind::kUpdate) {
    writer->Text("update");
    writer->Key("rows");
    writer->BeginArray(1);
    WriteRow(*rows.table, columns, rows.new_cells, rows.seq, deleted(false), writer);
    writer->EndArray();
    writer->Key("old_values");
    writer->BeginArray(1);
    WriteRow(*rows.table, DeltaColumns(rows, columns), rows.old_cells, rows.previous_seq,
             std::nullopt, writer);
    writer->EndArray();
    return 3;
  }
  writer->Text("delete");
  writer->Key("old_values");
  writer->BeginArray(1);
  if (rows.is_stream && kind == ChangeKind::kDelete) {
    WriteStreamDelete(rows, columns, writer);
  } else {
    WriteRow(*rows.table, columns, rows.old_cells, rows.seq, deleted(true), writer);
  }
  writer->EndArray();
  return 2;
}

}  // namespace

OutgoingMessage EncodeAck(const WireFormat& format, std::string_view id,
                          const BatchControl& control, const ResultSchema& schema) {
  std::string payload;
  WireWriter writer(format.msgpack, &payload);
  writer.BeginMap(5);
  writer.Key("type");
  writer.Text("subscription_ack");
  writer.Key("subscription_id");
  writer.Text(id);
  writer.Key("total_rows");
  writer.Integer(0);
  BatchControl sent = control;
  sent.last_seq.reset();
  WriteControl(sent, &writer);
  WriteSchema(schema, &writer);
  writer.EndMap();
  return Compose(format, std::move(payload));
}

BatchMessage::BatchMessage(const WireFormat& format, std::string_view id)
    : format_(format), id_(id) {}

void BatchMessage::AddRow(const TableDefinition& table, std::span<const uint32_t> columns,
                          std::span<const Datum> cells, Seq seq) {
  const size_t begin = rows_.size();
  WireWriter writer(format_.msgpack, &rows_);
  WriteRow(table, columns, cells, seq,
           table.type == catalog::TableType::kStream ? std::nullopt : std::optional<bool>(false),
           &writer);
  row_sizes_.push_back(static_cast<uint32_t>(rows_.size() - begin));
  ++row_count_;
}

void BatchMessage::Reverse() {
  std::string reversed;
  reversed.reserve(rows_.size());
  size_t end = rows_.size();
  for (size_t i = row_sizes_.size(); i-- > 0;) {
    reversed.append(rows_, end - row_sizes_[i], row_sizes_[i]);
    end -= row_sizes_[i];
  }
  rows_ = std::move(reversed);
  std::reverse(row_sizes_.begin(), row_sizes_.end());
}

OutgoingMessage BatchMessage::Finish(const BatchControl& control) {
  std::string payload;
  payload.reserve(rows_.size() + row_sizes_.size() + id_.size() + 256);
  WireWriter writer(format_.msgpack, &payload);
  writer.BeginMap(4);
  writer.Key("type");
  writer.Text("initial_data_batch");
  writer.Key("subscription_id");
  writer.Text(id_);
  WriteControl(control, &writer);
  writer.Key("rows");
  writer.BeginArray(row_count_);
  if (format_.msgpack) {
    payload += rows_;
  } else {
    size_t begin = 0;
    for (uint32_t size : row_sizes_) {
      if (begin > 0) payload.push_back(',');
      payload.append(rows_, begin, size);
      begin += size;
    }
  }
  writer.EndArray();
  writer.EndMap();
  std::string().swap(rows_);
  return Compose(format_, std::move(payload));
}

EncodedChange::EncodedChange(bool msgpack, ChangeKind kind, const ChangeRows& rows,
                             std::span<const uint32_t> projection)
    : msgpack_(msgpack) {
  auto body = std::make_shared<std::string>();
  WireWriter writer(msgpack, body.get());
  writer.Continue();
  entry_count_ = WriteChange(kind, rows, projection, &writer) + 2;
  if (!msgpack) body->push_back('}');
  body->shrink_to_fit();
  body_ = std::move(body);
}

OutgoingMessage EncodedChange::For(std::string_view id, bool gzip) {
  OutgoingMessage message;
  message.binary = msgpack_;
  WireWriter writer(msgpack_, &message.head);
  writer.BeginMap(entry_count_);
  writer.Key("type");
  writer.Text("change");
  const size_t shared_head_size = message.head.size();
  writer.Key("subscription_id");
  writer.Text(id);
  if (gzip && message.head.size() + body_->size() >= kGzipThresholdBytes) {
    if (!deflate_tried_) {
      deflate_tried_ = true;
      std::string raw = message.head.substr(0, shared_head_size);
      if (!msgpack_) raw.push_back(',');
      raw += *body_;
      if (!msgpack_) raw.back() = ',';
      deflate_ = DeflateShared(raw);
      if (!deflate_.bytes.empty() && deflate_.bytes.size() + 24 < body_->size()) {
        deflated_body_ = std::make_shared<const std::string>(std::move(deflate_.bytes));
      }
    }
    if (deflated_body_ != nullptr) {
      std::string raw_tail = message.head.substr(shared_head_size);
      if (!msgpack_) raw_tail = raw_tail.substr(1) + "}";  // without its comma
      message.binary = true;
      message.head.clear();
      message.body = deflated_body_;
      message.tail = GzipTail(deflate_, raw_tail);
      return message;
    }
  }
  if (!msgpack_) message.head.push_back(',');
  message.body = body_;
  return message;
}

OutgoingMessage EncodeError(const WireFormat& format, std::string_view subscription_id,
                            std::string_view code, std::string_view message) {
  OutgoingMessage out;
  out.binary = format.msgpack;
  WireWriter writer(format.msgpack, &out.head);
  writer.BeginMap(4);
  writer.Key("type");
  writer.Text("error");
  writer.Key("subscription_id");
  writer.Text(subscription_id);
  writer.Key("code");
  writer.Text(code);
  writer.Key("message");
  writer.Text(message);
  writer.EndMap();
  return out;
}

std::string EncodeAuthSuccess(std::string_view user, std::string_view role,
                              const WireFormat& format) {
  std::string out;
  WireWriter writer(/*msgpack=*/false, &out);
  writer.BeginMap(4);
  writer.Key("type");
  writer.Text("auth_success");
  writer.Key("user");
  writer.Text(user);
  writer.Key("role");
  writer.Text(role);
  writer.Key("protocol");
  writer.BeginMap(2);
  writer.Key("serialization");
  writer.Text(format.msgpack ? "msgpack" : "json");
  writer.Key("compression");
  writer.Text(format.gzip ? "gzip" : "none");
  writer.EndMap();
  writer.EndMap();
  return out;
}

std::string EncodeAuthError(std::string_view message) {
  std::string out;
  WireWriter writer(/*msgpack=*/false, &out);
  writer.BeginMap(2);
  writer.Key("type");
  writer.Text("auth_error");
  writer.Key("message");
  writer.Text(message);
  writer.EndMap();
  return out;
}

}  // namespace kalam::live
