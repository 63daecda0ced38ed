"""What Keras, scikit-learn, tf-keras-vis, xplique, captum and pytorch-grad-cam call the things that a command takes.

Letters alone suggest `--taps` for `--class`: a name that people bring from elsewhere is looked up here first.
"""

from collections.abc import Collection

OPTIONS: dict[str, str] = {
    "target": "class classes label class-index class-idx class-id class-name label-index category "
    "target-class output-index y",
    "classes": "class class-index class-idx class-id class-name category target target-class categories",
    "label": "class labels column attribute attributes target target-column y y-col class-column",
    "labels": "label column columns attribute attributes y",
    "categories": "class classes category label",
    "group": "attribute label column",
    "name": "class label",
    "layer": "layers layer-name layer-names target-layer target-layers conv-layer last-conv-layer-name layer-index "
    "penultimate-layer tap",
    "taps": "layer layers layer-name layer-names target-layer target-layers conv-layer last-conv-layer-name tap",
    "block": "blocks layer layers layer-name target-layer stage level depth",
    "channel": "filter filters filter-index filter-indices channels unit neuron feature-map channel-index",
    "channels": "filter filters filter-index filter-indices channel unit units neuron neurons feature-maps",
    "backbone": "model network net arch architecture cnn extractor encoder base-model model-name model-path",
    "run": "model name run-name run-id experiment exp project output out out-dir outdir output-dir output-path o "
    "save save-dir save-path logdir log-dir checkpoint-dir",
    "path": "input inputs data dir directory folder root root-dir data-dir data-path image-dir images-dir file "
    "files source-dir mask-dir mask-path masks images image i",
    "dataset": "input inputs data data-dir record-set records tfrecord tfrecords train-data name output out o",
    "images": "image img imgs input inputs picture pictures photo photos file files path i x",
    "image": "images img input picture photo file path query query-image i x",
    "ids": "id sku image-id item item-id",
    "id": "ids sku image-id item item-id index",
    "masks": "mask mask-dir mask-path annotations",
    "neighbours": "k n-neighbors n-neighbours neighbors num-neighbors knn nn",
    "top": "k top-k topk n-results num-results limit n n-neighbors neighbours",
    "batch_size": "batch batchsize bs b minibatch mini-batch-size",
    "epochs": "epoch e n-epochs num-epochs nb-epoch nb-epochs max-epochs iterations",
    "steps": "iter iters iterations n-iter num-iter max-iter n-steps num-steps nb-steps steps-per-epoch",
    "iterations": "iter iters n-iter max-iter steps n-steps num-steps epochs",
    "learning_rate": "lr learningrate step-size eta",
    "weight_decay": "wd decay-rate l2-reg",
    "decay": "scheduler schedule lr-schedule lr-scheduler",
    "warmup": "warmup-epochs warmup-steps warm-up",
    "weights": "checkpoint ckpt pretrained weights-path weights-file",
    "samples": "n-samples num-samples n-images num-images max-samples n num limit count",
    "count": "n-samples num-samples n-images num-images n num number limit max-samples",
    "noise_samples": "nb-samples nt-samples noise-level smooth-samples",
    "seed": "random-state random-seed rng manual-seed",
    "folds": "cv n-splits kfold k-folds n-folds splits",
    "dimensions": "n-components components dim dims n-dims pca n-dimensions",
    "dimension": "dim dims embedding-dim embedding-size latent-dim output-dim n-components",
    "metric": "distance similarity measure",
    "normalization": "normalize norm normalise normalisation scaler scaling standardize",
    "normalizations": "normalize norm normalise normalisation scaler scaling standardize",
    "preprocessing": "preprocess preprocess-input preprocess-fn preprocessor preprocessing-function",
    "size": "image-size img-size input-size input-shape target-size resize shape height width image-shape",
    "fit": "resize-mode crop padding pad aspect-ratio keep-aspect-ratio",
    "split": "val-split validation-split test-size train-size split-ratio subset partition",
    "augment": "augmentation augmentations data-augmentation transforms",
    "freeze": "freeze-layers frozen trainable n-frozen",
    "precision": "mixed-precision dtype fp16 amp half bf16",
    "xla": "jit jit-compile compile",
    "overwrite": "force f clobber exist-ok force-overwrite",
    "method": "methods explainer algorithm attribution attribution-method cam",
    "margin": "alpha triplet-margin",
    "lam": "lambda lmbda reg regularization",
    "loss": "loss-fn loss-function criterion",
    "optimizer": "opt optim optimiser",
    "windows": "window window-size patch-size kernel-size",
    "percentile": "threshold thresh quantile q",
    "min_images": "min-samples min-count min-per-class min-class-size",
    "min_cluster_size": "min-samples min-points",
    "per_class": "samples-per-class images-per-class n-per-class",
    "total_variation": "tv tv-weight",
    "threads": "num-workers workers n-jobs jobs num-threads j",
    "where": "filter query condition",
    "output": "out o out-file output-file output-path save-as",
    "by": "group group-by attribute label",
    "config": "config-file config-path cfg conf yaml c",
    "auth": "password user login",
    "host": "server-name bind address ip listen",
    "port": "server-port p",
}
"""The options, each with what others call it; an earlier one goes first where a command has several that fit."""

COMMANDS: dict[str, str] = {
    "see": "gradcam grad-cam grad-cam++ gradcam++ cam heatmap heatmaps saliency explain explainer attribution "
    "attributions guided-backprop occlusion lime shap integrated-gradients ig smoothgrad score-cam scorecam layercam",
    "tag": "label recognize recognise infer inference zero-shot few-shot",
    "train": "fit finetune fine-tune learn fit-generator",
    "refit": "retrain correct fix unlearn debias rrr pas pasa",
    "reduce": "umap tsne t-sne pca cluster clustering hdbscan dbscan kmeans k-means projection reduction transform",
    "search": "query find similar lookup nearest neighbours neighbors",
    "maximize": "dream deepdream deep-dream visualize visualise activation-maximization feature-visualization lucid "
    "optimize maximise",
    "extract": "features embeddings descriptors encode featurize feature-extraction",
    "ingest": "import load pack convert prepare data download tfrecord tfrecords dataset build",
    "embed": "siamese triplet metric-learning contrastive embedding",
    "app": "gui ui web gradio browser start launch webapp",
    "serve": "server api http rest fastapi service daemon endpoint",
    "evaluate": "eval test benchmark generalization ood",
    "export": "onnx savedmodel saved-model tflite litert save deploy",
    "classify": "probe linear-probe knn score",
    "tune": "hyperparameters sweep hpo optuna grid-search gridsearch",
    "wall": "mosaic montage collage gallery contact-sheet",
    "activations": "feature-maps featuremaps",
    "faithfulness": "insertion deletion sanity metrics",
    "masks": "mark annotate mask draw",
    "propose": "active-learning active ask query-strategy rank suggest",
    "verify": "check validate checksum",
    "report": "html summary",
    "converge": "compare cka svcca",
    "selectivity": "neurons units",
    "attribute list": "list classes",
    "index add": "update upsert insert append",
    "index compact": "vacuum optimize-index",
    "attribute add": "add",
    "attribute remove": "remove delete rm",
    "--help": "help usage",
    "--version": "version v",
    "--completion": "completion completions autocomplete complete",
}
"""The commands, each with what people call what it does."""


GPU = "TensorFlow takes the GPUs that it finds; the environment variable CUDA_VISIBLE_DEVICES chooses among them."
HINTS = {word: GPU for word in ("gpu", "gpus", "cuda", "device", "devices")}
"""What to say where a command has nothing of the kind."""


def _plain(word: str) -> str:
    return word.lower().lstrip("-").replace("_", "-")


def option(word: str, has: Collection[str]) -> str | None:
    """Return the option of a command that stands for a word from elsewhere.

    Args:
        word: The option as it was typed.
        has: The options that the command has, with underscores.

    Returns:
        One of these, or None when the word is not known or the command has nothing of the kind.
    """
    return next((name for name, words in OPTIONS.items() if name in has and _plain(word) in words.split()), None)


def hint(word: str) -> str | None:
    """Return the sentence about something that no option of a command stands for."""
    return HINTS.get(_plain(word))


def command(word: str) -> str | None:
    """Return the command, or the option without a command, that does what a word from elsewhere says."""
    return next((name for name, words in COMMANDS.items() if _plain(word) in words.split()), None)
