"""What the Airflow variable may hold, by the name under which tests of the DAG speak of it; right and wrong."""

import json
import re
from typing import Any

from airflow_home import ROOT

OVERRIDES = ["train.epochs=4", "gate.margin=0.1", "split.seed=1", "export.top_k=20", "evaluate={batch_size: 64}"]
SETTINGS = {"raw": "gs://BUCKET/raw", "output": "gs://BUCKET/out", "overrides": OVERRIDES}
GPU_NODE = {"cloud.google.com/gke-accelerator": "nvidia-l4", "cloud.google.com/gke-accelerator-count": "2"}
KUBERNETES = {
    "image": "IMAGE",
    "namespace": "models",
    "service_account": "train",
    "gpus": 2,
    "gpu_node_selector": GPU_NODE,
}
POD = {
    "spec": {
        "nodeSelector": {"pool": "models", "generation": "7"},
        "volumes": [{"name": "disk", "persistentVolumeClaim": {"claimName": "models"}}],
        "containers": [
            {
                "name": "base",
                "env": [{"name": "ONE", "value": "1"}],
                "volumeMounts": [{"name": "disk", "mountPath": "/mnt"}],
                "resources": {
                    "requests": {"ephemeral-storage": "50Gi", "memory": "1Gi"},
                    "limits": {"ephemeral-storage": "60Gi", "cpu": "2"},
                },
            }
        ],
    }
}
OWN_USER = {"runAsUser": 7, "fsGroup": 8}
OWN_GROUP = {"fsGroup": 8}
OWN_SHM = {
    "volumes": [{"name": "shm", "emptyDir": {}}],
    "containers": [{"name": "base", "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}]}],
}
SIZED = KUBERNETES | {"cpu": "4", "memory": "16Gi", "startup_seconds": 60, "pod": POD}
ENVIRONMENT = {
    "serviceAccountEmail": "build@p.iam.gserviceaccount.com",
    "maxWorkers": 8,
    "additionalUserLabels": {"cost": "1234"},
    "tempLocation": "gs://BUCKET/t",
}
DATAFLOW = {"project": "p", "region": "europe-west1", "template": "gs://BUCKET/build.json", "image": "IMAGE"}
DATAFLOW_ENVIRONMENT = DATAFLOW | {"environment": ENVIRONMENT}
README = (ROOT / "pipelines/retraining/README.md").read_text()
SPARK_CONF = {"spark.executor.memory": "4g", "spark.executor.extraJavaOptions": "-Da='1 2' -Db"}
DEPLOYMENTS: dict[str, Any] = {
    "the README's": json.loads(
        re.findall(r"airflow variables set ssl_two_tower_retraining '(.*?)'", README, re.DOTALL)[0]
    ),
    "local": {
        "settings": {"output": "out of space", "overrides": OVERRIDES},
        "schedule": "0 6 * * *",
        "start": "2026-01-31",
        "catchup": True,
        "retries": 0,
        "retry_seconds": 7,
        "task_hours": 1.5,
        "directory": "/work here",
    },
    "cloud": {"settings": SETTINGS, "kubernetes": KUBERNETES, "dataflow": DATAFLOW_ENVIRONMENT},
    "disk": {"settings": {"output": "/mnt/retraining"}, "kubernetes": SIZED},
    "spark": {"settings": SETTINGS | {"warm_start": False}, "kubernetes": KUBERNETES, "spark": True},
    "spark here": {"spark": {}},
    "zone": {"start": "2026-01-31T01:00:00+02:00"},
    "no time": {"start": "31.1.2026"},
    "cluster": {"spark": {"master": "spark://HOST:7077", "conf": SPARK_CONF}},
    "cluster of pods": {
        "settings": SETTINGS,
        "kubernetes": SIZED,
        "spark": {"master": "k8s://HOST", "conf": SPARK_CONF},
    },
    "misspelt spark": {"spark": {"masters": "yarn"}},
    "own user": {"settings": SETTINGS, "kubernetes": KUBERNETES | {"pod": {"spec": {"securityContext": OWN_USER}}}},
    "own group": {"settings": SETTINGS, "kubernetes": KUBERNETES | {"pod": {"spec": {"securityContext": OWN_GROUP}}}},
    "own shm": {"settings": SETTINGS, "kubernetes": KUBERNETES | {"pod": {"spec": OWN_SHM}}},
    "tidy": {"settings": SETTINGS | {"keep_days": 30}, "kubernetes": KUBERNETES, "delay_seconds": 60},
    "misspelt": {"setings": {}},
    "empty window": {"settings": {"window_days": 0}},
    "two engines": {"settings": SETTINGS, "spark": True, "dataflow": DATAFLOW},
    "pods without a disk": {"kubernetes": KUBERNETES},
    "Dataflow without a disk": {"kubernetes": SIZED, "dataflow": DATAFLOW},
    "labels without GPUs": {"settings": SETTINGS, "kubernetes": {"image": "IMAGE", "gpu_node_selector": {"a": "b"}}},
    "two images": {"dataflow": DATAFLOW | {"environment": {"sdkContainerImage": "IMAGE"}}},
    "pods on another disk": {"settings": {"output": "/srv"}, "kubernetes": SIZED},
    "pods, and in the form a disk of theirs": {
        "kubernetes": SIZED,
        "settings": SETTINGS,
        "form": {"output": "/mnt/by hand/"},
    },
    "pods, and in the form another disk": {"kubernetes": SIZED, "settings": SETTINGS, "form": {"output": "/srv"}},
    "Dataflow, and in the form a disk": {"dataflow": DATAFLOW, "settings": SETTINGS, "form": {"output": "/srv"}},
    "a root in the form": {"form": {"output": "/"}},
    "empty pod": {"settings": SETTINGS, "kubernetes": KUBERNETES | {"pod": {"spec": None}}},
    "misspelt pod": {"settings": SETTINGS, "kubernetes": KUBERNETES | {"pod": {"spec": {"nodeSelectors": {}}}}},
    "nameless container": {"settings": SETTINGS, "kubernetes": KUBERNETES | {"pod": {"spec": {"containers": [{}]}}}},
}
