"""hnswlib and faiss-cpu, asked line by line over standard input; answers in JSON on standard output.

The vectors, the queries and what is found lie as plain arrays in the folder that is the only argument. One thread.
"""

import json
import os
import sys
import time

import faiss
import hnswlib
import numpy as np

LINKS, EF_CONSTRUCTION = 16, 200

folder, width = sys.argv[1], int(sys.argv[2])
items = np.fromfile(f"{folder}/items.f32", dtype="<f4").reshape(-1, width)
queries = np.fromfile(f"{folder}/queries.f32", dtype="<f4").reshape(-1, width)
faiss.omp_set_num_threads(1)


class Hnswlib:
    def build(self):
        self.new().init_index(max_elements=len(items), M=LINKS, ef_construction=EF_CONSTRUCTION)
        self.index.add_items(items, num_threads=1)

    def new(self):
        self.index = hnswlib.Index(space="ip", dim=width)
        return self.index

    def save(self, path):
        self.index.save_index(path)

    def load(self, path):
        self.new().load_index(path, max_elements=len(items))

    def search(self, k, ef):
        self.index.set_ef(ef)
        return self.index.knn_query(queries, k=k, num_threads=1)[0]


class Faiss:
    def build(self):
        self.index = faiss.IndexHNSWFlat(width, LINKS, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = EF_CONSTRUCTION
        self.index.add(items)

    def save(self, path):
        faiss.write_index(self.index, path)

    def load(self, path):
        self.index = faiss.read_index(path)

    def search(self, k, ef):
        self.index.hnsw.efSearch = ef
        return self.index.search(queries, k)[1]


engines = {"hnswlib": Hnswlib(), "faiss": Faiss()}


def prepare(name):
    """Builds the index once per folder."""
    index, about = f"{folder}/{name}.index", f"{folder}/{name}.json"
    engine = engines[name]
    if os.path.exists(about):
        engine.load(index)
        with open(about) as file:
            return json.load(file)
    started = time.perf_counter()
    engine.build()
    answer = {"build_s": time.perf_counter() - started}
    engine.save(index)
    answer["bytes"] = os.path.getsize(index)
    with open(about, "w") as file:
        json.dump(answer, file)
    return answer


def search(name, k, ef):
    started = time.perf_counter()
    found = engines[name].search(k, ef)
    took_s = time.perf_counter() - started
    found.astype("<i4").tofile(f"{folder}/found.i32")
    return {"took_s": took_s}


for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = search(asked["engine"], asked["k"], asked["ef"]) if "k" in asked else prepare(asked["engine"])
    except Exception as error:  # whatever it is, the other side says it
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
