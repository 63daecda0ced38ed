"""What a configuration may name: layers, operations and settings of Keras that compute and do nothing else.

Keras' own `safe_mode` refuses lambdas, but looks any other name up and calls it: an operation such as `Switch` takes a
function as an argument, and any function of Keras will do, those that read, write and fetch files among them. So each
name in the file, at every depth, is held against these lists before Keras sees it.
"""

import re
import sys
from pathlib import Path
from typing import Any

from fashionprobe.errors import UserError

LAYERS = frozenset({
    "Activation", "ActivityRegularization", "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D", "AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D", "Add",
    "AdditiveAttention", "AlphaDropout", "Attention", "AugMix", "AutoContrast", "Average", "AveragePooling1D",
    "AveragePooling2D", "AveragePooling3D", "BatchNormalization", "Bidirectional", "CenterCrop", "Concatenate",
    "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "ConvLSTM1D", "ConvLSTM2D",
    "ConvLSTM3D", "Cropping1D", "Cropping2D", "Cropping3D", "CutMix", "Dense", "DepthwiseConv1D", "DepthwiseConv2D",
    "Dot", "Dropout", "ELU", "EinsumDense", "Embedding", "Equalization", "Flatten", "GRU", "GRUCell",
    "GaussianDropout", "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "GroupNormalization", "GroupQueryAttention",
    "Identity", "InputLayer", "LSTM", "LSTMCell", "LayerNormalization", "LeakyReLU", "Masking", "MaxPooling1D",
    "MaxPooling2D", "MaxPooling3D", "Maximum", "Minimum", "MixUp", "MultiHeadAttention", "Multiply", "Normalization",
    "PReLU", "Permute", "Pipeline", "RMSNormalization", "RNN", "RandAugment", "RandomBrightness",
    "RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomCrop", "RandomElasticTransform",
    "RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert",
    "RandomPerspective", "RandomPosterization", "RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear",
    "RandomTranslation", "RandomZoom", "ReLU", "RepeatVector", "Rescaling", "Reshape", "Resizing", "SeparableConv1D",
    "SeparableConv2D", "SimpleRNN", "SimpleRNNCell", "Softmax", "Solarization", "SpatialDropout1D", "SpatialDropout2D",
    "SpatialDropout3D", "SpectralNormalization", "StackedRNNCells", "Subtract", "TimeDistributed",
    "UnitNormalization", "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D",
    "ZeroPadding3D",
})  # fmt: skip
"""Classes of `keras.layers`. Not among them: `Lambda`, `TFSMLayer`, the layers of other frameworks, and all that read a
vocabulary, which may be a file."""

PRIVATE_LAYERS = {
    "keras.src.applications.convnext": frozenset({"LayerScale"}),
    "keras.src.applications.inception_resnet_v2": frozenset({"CustomScaleLayer"}),
}
"""Layers that networks of `keras.applications` bring with them."""

MODELS = {
    "keras": frozenset({"Sequential", "Functional", "Model"}),
    "keras.models": frozenset({"Sequential", "Model"}),
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.src.models.sequential": frozenset({"Sequential"}),
}

OPERATIONS = {
    "keras.src.ops.core": frozenset({"Cast", "ConvertToTensor", "SaturateCast", "StopGradient"}),
    "keras.src.ops.image": frozenset({"CropImages", "PadImages", "RGBToGrayscale", "RGBToHSV", "HSVToRGB", "Resize"}),
    "keras.src.ops.linalg": frozenset({"Norm"}),
    "keras.src.ops.math": frozenset({"Erf", "Logsumexp", "Rsqrt"}),
    "keras.src.ops.nn": frozenset({
        "AdaptiveAveragePool", "AdaptiveMaxPool", "AveragePool", "Celu", "Conv", "DepthToSpace", "DepthwiseConv", "Elu",
        "Gelu", "Glu", "HardShrink", "HardSigmoid", "HardSilu", "HardTanh", "LayerNorm", "LeakyRelu", "LogSigmoid",
        "LogSoftmax", "MaxPool", "Normalize", "RMSNorm", "Relu", "Relu6", "Selu", "Sigmoid", "Silu", "SoftShrink",
        "Softmax", "Softplus", "Softsign", "SpaceToDepth", "SparsePlus", "SparseSigmoid", "Sparsemax", "Squareplus",
        "TanhShrink", "Threshold",
    }),
    "keras.src.ops.numpy": frozenset({
        "Abs", "Absolute", "Add", "Amax", "Amin", "Arctan", "Average", "BroadcastTo", "Ceil", "Clip", "Concatenate",
        "Copy", "Cos", "Cosh", "Divide", "DivideNoNan", "Dot", "Einsum", "Equal", "Exp", "Exp2", "ExpandDims", "Expm1",
        "Flip", "Floor", "FloorDivide", "GetItem", "Greater", "GreaterEqual", "Less", "LessEqual", "Log", "Log10",
        "Log1p", "Log2", "Logaddexp", "LogicalAnd", "LogicalNot", "LogicalOr", "Matmul", "Max", "Maximum", "Mean",
        "Min", "Minimum", "Mod", "Moveaxis", "Multiply", "NanToNum", "Negative", "NotEqual", "OnesLike", "Pad",
        "Power", "Prod", "Ravel", "Reciprocal", "Repeat", "Reshape", "Roll", "Round", "Sign", "Sin", "Sinh", "Split",
        "Sqrt", "Square", "Squeeze", "Stack", "Std", "Subtract", "Sum", "Swapaxes", "Tan", "Tanh", "Tile", "Transpose",
        "TrueDivide", "Trunc", "Var", "Where", "ZerosLike",
    }),
}  # fmt: skip
"""Operations that stand in graphs as layers do. None of them takes a function."""

SETTINGS = {
    "keras.initializers": frozenset({
        "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "IdentityInitializer",
        "LecunNormal", "LecunUniform", "Ones", "Orthogonal", "OrthogonalInitializer", "RandomNormal", "RandomUniform",
        "TruncatedNormal", "VarianceScaling", "Zeros",
    }),
    "keras.regularizers": frozenset({"L1", "L1L2", "L2", "OrthogonalRegularizer"}),
    "keras.constraints": frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"}),
    "keras": frozenset({"DTypePolicy", "FloatDTypePolicy"}),
    "keras.dtype_policies": frozenset({
        "DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "Int4DTypePolicy", "QuantizedDTypePolicy",
        "QuantizedFloat8DTypePolicy",
    }),
    "keras.quantizers": frozenset({
        "AbsMaxQuantizer", "Float8QuantizationConfig", "Int4QuantizationConfig", "Int8QuantizationConfig",
    }),
}  # fmt: skip
"""Initializers, regularizers, constraints, dtype policies and quantizers."""

ACTIVATIONS = frozenset({
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus",
    "swish", "tanh", "tanh_shrink", "threshold",
})  # fmt: skip
"""The only functions that a configuration may name."""

FUNCTION_MODULES = frozenset({"builtins", "keras.activations", "keras.ops", "keras.ops.nn"})

TENSORS = frozenset({"__keras_tensor__", "__tensor__", "__numpy__", "__slice__", "__ellipsis__"})
"""Plain values that JSON has no words for."""

MARKS = frozenset({"class_name", "module", "registered_name", "spec_name"})
"""An object with one of these keys is one that Keras would look up or build."""

DTYPE = re.compile(r"bool|u?int\d{1,2}|b?float\d{1,2}|string")

TRUST = (
    "If you know who made this file, --trust (trust=True) opens it all the same: whatever code it holds or names then "
    "runs with your rights."
)


def clean(config: dict[str, Any], path: Path, *, argument: str = "backbone") -> dict[str, Any]:
    """Return the configuration of a network with nothing in it but what is allowed.

    What belongs to training alone, such as losses and optimizers, is left out.

    Args:
        config: The content of `config.json`.
        path: The file it comes from, for the error.
        argument: Name of the argument, for the error.

    Returns:
        A configuration that Keras builds the network from, of new lists and dictionaries.

    Raises:
        UserError: If the file names anything else; the message says what and where.
    """
    return _Cleaner(path, argument).layer(config, "the network")


def is_model(entry: dict[str, Any]) -> bool:
    """Tell whether an allowed entry is a network with layers of its own."""
    return entry["class_name"] in MODELS.get(entry["module"], ()) or "input_layers" in entry["config"]


def is_layer(entry: dict[str, Any]) -> bool:
    """Tell whether a dictionary of a cleaned configuration is a layer or a network, and not a setting."""
    module, name = entry.get("module"), entry.get("class_name")
    if not isinstance(entry.get("config"), dict) or not isinstance(name, str) or name in TENSORS:
        return False
    return name not in SETTINGS.get(str(module), ()) and module not in OPERATIONS


def is_operation(entry: dict[str, Any]) -> bool:
    """Tell whether an allowed entry is a plain operation."""
    return entry["module"] in OPERATIONS


class _Cleaner:
    """Copies a configuration entry by entry, and stops at the first that is not allowed."""

    def __init__(self, path: Path, argument: str) -> None:
        self.path, self.argument = path, argument
        self.shared: dict[Any, Any] = {}

    def refuse(self, what: str, where: str) -> UserError:
        return UserError(
            self.argument, expected="a .keras file of layers, operations and settings of Keras that only compute",
            received=f"{str(self.path)!r}, with {what} in {where}", remedy=TRUST,
        )  # fmt: skip

    def layer(self, entry: Any, where: str) -> dict[str, Any]:
        """Copy a layer, a network or an operation: something that stands in a graph."""
        module, name, config = self.parts(entry, where)
        where = self.place(entry, config, where)
        if name in OPERATIONS.get(module, ()):
            copied = {key: self.argument_of(value, key, where) for key, value in config.items()}
        elif (
            name in MODELS.get(module, ())
            or (module == "keras.layers" and name in LAYERS)
            or name in PRIVATE_LAYERS.get(module, ())
            or self.is_registered(entry, "Operation")
        ):
            copied = {key: self.setting(value, key, where) for key, value in config.items()}
        else:
            raise self.refuse(_named(entry), where)
        cleaned = self.entry(entry, copied, where)
        if "name" in entry:
            cleaned["name"] = self.plain(entry["name"], where)
        if entry.get("build_config") is not None:
            cleaned["build_config"] = self.plain(entry["build_config"], where)
        if "inbound_nodes" in entry:
            cleaned["inbound_nodes"] = self.nodes(entry["inbound_nodes"], where)
        return cleaned

    def setting(self, value: Any, key: str, where: str) -> Any:
        """Copy an argument of a layer: plain, or an object of `SETTINGS`, an activation, or a layer."""
        if isinstance(value, list):
            return [self.setting(each, key, where) for each in value]
        if not isinstance(value, dict):
            return self.plain(value, where)
        if not MARKS & value.keys():
            return {str(name): self.setting(each, str(name), where) for name, each in value.items()}
        if value.get("class_name") in TENSORS:
            return self.tensor(value, where)
        if value.get("class_name") == "function":
            return self.function(value, where)
        module, name, config = self.parts(value, where)
        if name in SETTINGS.get(module, ()) or self.is_registered(value, "Initializer", "Regularizer", "Constraint"):
            copied = {inner: self.setting(each, inner, where) for inner, each in config.items()}
            return self.entry(value, copied, where)
        return self.layer(value, where)

    def argument_of(self, value: Any, key: str, where: str) -> Any:
        """Copy an argument of an operation, or of a call in the graph: no class and no function."""
        if isinstance(value, list):
            return [self.argument_of(each, key, where) for each in value]
        if not isinstance(value, dict):
            if isinstance(value, str) and re.fullmatch(r"[^\s>-]+>[^\s>-]+", value):
                # Keras looks up what was registered under such a name.
                raise self.refuse(f"a reference to {_shown(value)} as an argument", where)
            return self.plain(value, where)
        if not MARKS & value.keys():
            return {str(name): self.argument_of(each, str(name), where) for name, each in value.items()}
        if value.get("class_name") in TENSORS:
            return self.tensor(value, where)
        module, name, config = value.get("module"), value.get("class_name"), value.get("config")
        if (
            key == "dtype"
            and isinstance(config, dict)
            and name in SETTINGS["keras.dtype_policies"]
            and name in SETTINGS.get(str(module), ())
        ):
            self.parts(value, where)
            return self.entry(value, self.plain(config, where), where)
        raise self.refuse(f"a reference to {_named(value)} as an argument", where)

    def nodes(self, nodes: Any, where: str) -> list[dict[str, Any]]:
        """Copy the calls that connect a layer with those before it."""
        if not isinstance(nodes, list) or not all(
            isinstance(node, dict) and isinstance(node.get("args"), list) and isinstance(node.get("kwargs", {}), dict)
            for node in nodes
        ):
            raise self.refuse("connections that Keras 3 does not write", where)
        return [
            {
                "args": self.argument_of(node["args"], "args", where),
                "kwargs": self.argument_of(node.get("kwargs", {}), "kwargs", where),
            }
            for node in nodes
        ]

    def tensor(self, value: dict[str, Any], where: str) -> dict[str, Any]:
        """Copy a value that JSON has no word for."""
        config = value.get("config")
        if not isinstance(config, dict):
            raise self.refuse("a tensor without values", where)
        if "dtype" in config and not DTYPE.fullmatch(str(config["dtype"])):
            raise self.refuse(f"a tensor of type {_shown(config['dtype'])}", where)
        return {"class_name": value["class_name"], "config": self.plain(config, where)}

    def function(self, value: dict[str, Any], where: str) -> dict[str, Any]:
        """Copy a reference to an activation."""
        name, module = value.get("config"), value.get("module")
        if (
            name not in ACTIVATIONS
            or module not in FUNCTION_MODULES
            or value.get("registered_name") not in (None, name)
        ):
            raise self.refuse(f"the function {_named(value)}", where)
        return {key: value.get(key) for key in ("module", "class_name", "config", "registered_name")}

    def plain(self, value: Any, where: str) -> Any:
        """Copy numbers, text, and lists and dictionaries of such; nothing that Keras would look up."""
        if isinstance(value, list):
            return [self.plain(each, where) for each in value]
        if isinstance(value, dict):
            if MARKS & value.keys() and value.get("class_name") not in TENSORS:
                raise self.refuse(f"a reference to {_named(value)} where only numbers belong", where)
            return {str(name): self.plain(each, where) for name, each in value.items()}
        if isinstance(value, str) and (len(value) > 1000 or not value.isprintable()):
            raise self.refuse(f"the text {_shown(value)}", where)
        return value

    def parts(self, entry: Any, where: str) -> tuple[str, str, dict[str, Any]]:
        """Return module, class and configuration of an entry, if it has them."""
        if not isinstance(entry, dict):
            raise self.refuse(f"{_shown(entry)} where a layer belongs", where)
        module, name, config = entry.get("module"), entry.get("class_name"), entry.get("config")
        registered = self.is_registered(entry)
        # Keras writes no module for a class that was registered. To an entry without the very key it applies the rules
        # of older files, which look names up elsewhere.
        if not isinstance(name, str) or not isinstance(config, dict) or not (isinstance(module, str) or registered):
            raise self.refuse(f"an entry of another format, {_named(entry)},", where)
        if entry.get("registered_name") not in (None, name) and not registered:
            raise self.refuse(f"{_named(entry)} under the name {_shown(entry['registered_name'])}", where)
        return str(module), name, config

    def entry(self, entry: dict[str, Any], config: dict[str, Any], where: str) -> dict[str, Any]:
        """Return the entry with its copied configuration; what is known by a number must be the same each time."""
        kept = {key: entry.get(key) for key in ("module", "class_name", "registered_name")}
        cleaned: dict[str, Any] = {**kept, "config": config}
        number = entry.get("shared_object_id")
        if number is not None:
            if not isinstance(number, int) or self.shared.setdefault(number, cleaned) != cleaned:
                raise self.refuse(f"two objects that share the number {_shown(number)}", where)
            return {**cleaned, "shared_object_id": number}
        return cleaned

    def place(self, entry: dict[str, Any], config: dict[str, Any], where: str) -> str:
        """Return where an entry is, as text: its own name, or that of the layer around it."""
        name = entry.get("name", config.get("name"))
        return f"layer {_shown(name)}" if isinstance(name, str) and name else where

    def is_registered(self, entry: dict[str, Any], *kinds: str) -> bool:
        """Tell whether this program has registered a class of that name with Keras, and of one of these kinds.

        Registering says that files may ask for the class. On the command line nobody has.
        """
        # Until Keras is imported nobody can have registered anything.
        keras: Any = sys.modules.get("keras")
        name = entry.get("registered_name")
        if keras is None or not isinstance(name, str) or ">" not in name:
            return False
        registered = keras.saving.get_registered_object(name)
        bases = {
            "Operation": keras.Operation, "Initializer": keras.initializers.Initializer,
            "Regularizer": keras.regularizers.Regularizer, "Constraint": keras.constraints.Constraint,
        }  # fmt: skip
        wanted = tuple(bases[kind] for kind in kinds or bases)
        return isinstance(registered, type) and issubclass(registered, wanted)


def _named(entry: dict[str, Any]) -> str:
    """Return what an entry refers to, as it may stand in a message."""
    name = entry.get("config") if entry.get("class_name") == "function" else entry.get("class_name")
    return _shown(f"{entry['module']}.{name}" if entry.get("module") else name)


def _shown(value: Any) -> str:
    """Return a piece of a stranger's file as it may stand in a message."""
    text = str(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return text if text.isprintable() else ascii(text)
