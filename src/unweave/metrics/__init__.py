"""Measures: functions of tensors and callables, never of a method. `table.MEASURES` says what each one is."""
