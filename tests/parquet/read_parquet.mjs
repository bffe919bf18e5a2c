// Prints columns, metadata and rows of a Parquet file as JSON, read by a library that shares no code with the server.
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';

const file = await asyncBufferFromFile(process.argv[2]);
const metadata = await parquetMetadataAsync(file);
const rows = await parquetReadObjects({ file, metadata, compressors });
const plain = (_, value) => (typeof value === 'bigint' ? value.toString() : value);
const columns = metadata.schema.slice(1).map((column) => column.name);
const keyValues = Object.fromEntries((metadata.key_value_metadata ?? []).map(({ key, value }) => [key, value]));
console.log(JSON.stringify({ columns, row_count: Number(metadata.num_rows), key_values: keyValues, rows }, plain));
