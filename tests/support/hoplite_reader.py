"""Run by the Python of `make hoplite`: what perch-hoplite itself finds in a database, as JSON.

    hoplite_reader.py DATABASE MODEL.onnx

Its own worker then adds the same audio with the same model, which must find every window there already.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version

from perch_hoplite.agile import audio_loader, embed, source_info
from perch_hoplite.db import brutalism, score_functions, sqlite_usearch_impl
from perch_hoplite.zoo.models_onnx import TaxonomyModelOnnx

database = sqlite_usearch_impl.SQLiteUSearchDB.create(sys.argv[1])
metadata = database.get_metadata(None)
sources = source_info.AudioSources.from_config_dict(metadata.audio_sources)
deployments = {each.id: each for each in database.get_all_deployments()}
recordings = {each.id: each for each in database.get_all_recordings()}
windows = database.get_all_windows()
ids = [window.id for window in windows]
embeddings = database.get_embeddings_batch(ids)

best = brutalism.brute_search(database, embeddings[3], 2, score_functions.get_score_fn("dot"))
load = audio_loader.make_filepath_loader(sources)
model = TaxonomyModelOnnx(sample_rate=32_000, model_path=sys.argv[2], output_map={"embedding": "embedding"})
queries = [model.embed(load(recordings[window.recording_id].filename, window.offsets[0])) for window in windows]

found = {
    "versions": {name: version(name) for name in ("perch-hoplite", "numpy")},
    "windows": [
        {
            "project": deployments[recordings[window.recording_id].deployment_id].project,
            "deployment": deployments[recordings[window.recording_id].deployment_id].name,
            "recording": recordings[window.recording_id].filename,
            "site": getattr(recordings[window.recording_id], "site", None),
            "datetime": str(recordings[window.recording_id].datetime),
            "offsets": window.offsets,
        }
        for window in windows
    ],
    "embeddings": embeddings.tolist(),
    "queries": [query.embeddings.ravel().tolist() for query in queries],
    "nearest": [ids.index(result.window_id) for result in best],
    "sources": [source.file_id for source in sources.iterate_all_sources()],
}
worker = embed.EmbedWorker(
    sources, embed.ModelConfig("perch_onnx", embeddings.shape[1], {}), database, embedding_model=model
)
worker.process_all(handle_duplicates="skip")
found["after"] = database.count_embeddings()
print(json.dumps(found))
