"""Images and labels as sharded TFRecord files: where they come from, how they are written, how they are read."""
