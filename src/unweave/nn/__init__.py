"""The parts that methods are built of: blocks, encoders, decoders, critics."""
