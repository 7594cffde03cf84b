"""Detections against experts: named rules, measures, reports."""
